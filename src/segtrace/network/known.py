"""The stages and edges of known networks: plain data, by the class.

The networks come in every depth, so a place is a pattern over the paths that ``named_modules``
says, which may end in ``:`` and the name of the class that stands there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# MONAI nests its UNets: the level below sits in `model.1.submodule`, the next one in
# `model.1.submodule.1.submodule`, and so on.
_LEVELS = r"model(\.1\.submodule)*"
_BELOW = r"model(\.1\.submodule)+"

CLASSES: Mapping[str, str] = {
    "monai.networks.nets.flexible_unet.FlexibleUNet": "FlexibleUNet",
    "monai.networks.nets.basic_unet.BasicUNet": "BasicUNet",
    "monai.networks.nets.unet.UNet": "UNet",
    "monai.networks.nets.attentionunet.AttentionUnet": "AttentionUnet",
    "monai.networks.nets.segresnet.SegResNet": "SegResNet",
    "monai.networks.nets.dynunet.DynUNet": "DynUNet",
    "monai.networks.nets.unetr.UNETR": "UNETR",
    "monai.networks.nets.swin_unetr.SwinUNETR": "SwinUNETR",
    "monai.networks.nets.vnet.VNet": "VNet",
}
"""Module and name of a class -> its name in the tables below. The name alone would not do: half the
field has written a ``UNet``."""

STAGES: Mapping[str, Sequence[tuple[str, str]]] = {
    # The encoders return lists, so their stages are the modules inside them.
    "FlexibleUNet": (
        ("enc", r"encoder\.act"),
        ("enc", r"encoder\.layer\d"),
        ("enc", r"encoder\._blocks\.[01246]"),  # EfficientNet
        ("dec", r"decoder\.blocks\.\d"),
        ("head", r"segmentation_head\.0"),
    ),
    # The paper counts decoder stages from the bottleneck up; this class counts down.
    "BasicUNet": (
        ("enc", r"conv_0"),
        ("enc", r"down_\d"),
        ("dec", r"upcat_\d"),
        ("head", r"final_conv"),
    ),
    # The last decoder block puts out the logits: it is the head.
    "UNet": (
        ("enc", rf"{_LEVELS}\.0:(Convolution|ResidualUnit)"),
        ("enc", rf"{_BELOW}:(Convolution|ResidualUnit)"),
        ("dec", rf"{_BELOW}\.2"),
        ("head", r"model\.2"),
    ),
    "AttentionUnet": (
        ("enc", rf"{_LEVELS}\.0:ConvBlock"),
        ("enc", rf"{_BELOW}:ConvBlock"),
        ("dec", rf"{_LEVELS}\.1:AttentionLayer"),
        ("head", r"model\.2"),
    ),
    "SegResNet": (
        ("enc", r"down_layers\.\d"),
        ("dec", r"up_layers\.\d"),
        ("head", r"conv_final"),
    ),
    "DynUNet": (
        ("enc", r"input_block"),
        ("enc", r"downsamples\.\d"),
        ("enc", r"bottleneck"),
        ("dec", r"upsamples\.\d"),
        ("head", r"output_block"),
    ),
    # enc5 is the transformer's last layer; its tokens lie on the network's own grid.
    "UNETR": (
        ("enc", r"encoder\d"),
        ("enc", r"vit\.norm"),
        ("dec", r"decoder\d"),
        ("head", r"out"),
    ),
    # enc5 is also the skip into dec1; enc6 is the bottleneck.
    "SwinUNETR": (
        ("enc", r"encoder[1-4]"),
        ("enc", r"swinViT\.layers3\.0"),
        ("enc", r"encoder10"),
        ("dec", r"decoder\d"),
        ("head", r"out"),
    ),
    "VNet": (
        ("enc", r"in_tr"),
        ("enc", r"down_tr\d+"),
        ("dec", r"up_tr\d+"),
        ("head", r"out_tr"),
    ),
}
"""name -> (kind, pattern) in the order of the stages. Encoder stages are counted downwards,
decoder stages from the bottleneck up."""

LAYOUTS: Mapping[str, Mapping[str, str]] = {"UNETR": {r"vit\.norm": "tokens{feat_size}"}}
"""name -> pattern -> layout where it is not ``nchw``; braces name an attribute of the network."""


@dataclass(frozen=True)
class Junction:
    """Where skip and up enter a decoder stage, in terms of that stage's path.

    ``{stage}`` stands for the stage's path, ``{parent}`` and ``{last}`` for its two halves.

    Attributes:
        up: the module whose output is the up path, just before the two are joined.
        skip: the module whose output is the skip, or, with ``argument``, whose input it is.
        argument: which positional argument of ``skip`` is the skip.
        joined: ``cat`` or ``add`` where that argument is the skip and the up path in one.
    """

    up: str
    skip: str = "{stage}"
    argument: int | None = None
    joined: str | None = None


_UPCAT = Junction(up="{stage}.upsample", argument=1)
_UNETR = Junction(up="{stage}.transp_conv", argument=1)

JUNCTIONS: Mapping[str, Junction] = {
    "FlexibleUNet": _UPCAT,
    "BasicUNet": _UPCAT,
    "UNet": Junction(up="{parent}.1.submodule", argument=0, joined="cat"),
    "AttentionUnet": Junction(up="{stage}.upconv", skip="{stage}.attention"),
    "SegResNet": Junction(up="up_samples.{last}", argument=0, joined="add"),
    "DynUNet": _UNETR,
    "UNETR": _UNETR,
    "SwinUNETR": _UNETR,
    "VNet": Junction(up="{stage}.act_function1", argument=1),
}
"""name -> how its decoder stages are joined to skip and up path."""
