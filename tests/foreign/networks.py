"""Small networks of the real packages, with the halves that their sources show."""

import segmentation_models_pytorch as smp
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn
from torchvision.models import segmentation
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from helpers.known_checks import Known
from helpers.known_networks import TWINS, nested

WIDTHS = (4, 6, 6, 8)


def nnunet(cls, dims=2, norm="Instance", **options):
    kinds = {"n_blocks_per_stage": 1} if cls is ResidualEncoderUNet else {"n_conv_per_stage": 1}
    return cls(
        1,
        4,
        WIDTHS,
        getattr(nn, f"Conv{dims}d"),
        3,
        [1, 2, 2, 2],
        num_classes=3,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=getattr(nn, f"{norm}Norm{dims}d"),
        norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        **kinds,
        **options,
    )


def smp_net(cls, encoder="resnet18", **options):
    options = {"encoder_weights": None, "in_channels": 1, "classes": 3} | options
    return cls(encoder, **options)


def segformer():
    config = SegformerConfig(
        num_channels=1,
        num_labels=3,
        depths=[1, 1, 1, 1],
        hidden_sizes=[4, 6, 8, 8],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
    )
    return SegformerForSemanticSegmentation(config)


def like(twin, build, **changed):
    """The case of a twin, of the real network."""
    return Known(**{**vars(TWINS[twin]), "build": build, **changed})


NETWORKS = {
    "smp Unet": like("smp Unet", lambda: smp_net(smp.Unet, decoder_channels=(16, 8, 8, 4, 4))),
    "smp Unet, with a class": like(
        "smp Unet", lambda: smp_net(smp.Unet, "resnet34", aux_params={"classes": 2})
    ),
    "nnU-Net": like("nnU-Net", lambda: nnunet(PlainConvUNet, deep_supervision=True)),
    "nnU-Net 3-D": like(
        "nnU-Net", lambda: nnunet(PlainConvUNet, 3, deep_supervision=True), side=16, axes=3
    ),
    "nnU-Net residual": like("nnU-Net", lambda: nnunet(ResidualEncoderUNet, deep_supervision=True)),
    "nnU-Net residual 3-D": like(
        "nnU-Net", lambda: nnunet(ResidualEncoderUNet, 3), side=16, axes=3
    ),
    "smp UnetPlusPlus": like(
        "smp UnetPlusPlus",
        lambda: smp_net(smp.UnetPlusPlus),
        halves=nested((64, 64, 64, 128, 256, 512)),
    ),
    "smp DeepLabV3Plus": like("smp DeepLabV3Plus", lambda: smp_net(smp.DeepLabV3Plus)),
    "smp FPN": like("smp FPN", lambda: smp_net(smp.FPN)),
    "torchvision FCN": like(
        "torchvision FCN",
        lambda: segmentation.fcn_resnet50(num_classes=3, weights_backbone=None, aux_loss=True),
        channels=3,
    ),
    "torchvision DeepLabV3": like(
        "torchvision DeepLabV3",
        lambda: segmentation.deeplabv3_resnet50(num_classes=3, weights_backbone=None),
        channels=3,
    ),
    "Segformer": like("Segformer of transformers 5", segformer),
}
