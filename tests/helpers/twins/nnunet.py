"""Twins of nnU-Net's networks under their own names."""

from helpers.plain_conv_unet import PlainConvUNet as Plain
from helpers.twins.naming import named

UNETS = "dynamic_network_architectures.architectures.unet"


@named(f"{UNETS}.PlainConvUNet")
class PlainConvUNet(Plain):
    pass
