"""The table of networks that a checkpoint may ask for: a key, a class, what it may be given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from segtrace.models import arguments as kinds

UPSAMPLE = Literal["deconv", "deconvgroup", "nontrainable", "pixelshuffle"]
FLEXIBLE = {
    "in_channels": kinds.Width,
    "out_channels": kinds.Width,
    "backbone": Literal[
        "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200",
        "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3",
        "efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7",
        "efficientnet-b8", "efficientnet-l2",
    ],
    "pretrained": Literal[False],
    "decoder_channels": kinds.Widths,
    "spatial_dims": kinds.Dimensions,
    "norm": kinds.Norm,
    "act": kinds.Activation,
    "dropout": kinds.Dropout,
    "decoder_bias": kinds.Flag,
    "upsample": UPSAMPLE,
    "pre_conv": Literal["default"] | None,
    "interp_mode": Literal[
        "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"
    ],
    "is_pad": kinds.Flag,
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """A class that a checkpoint may ask for.

    Attributes:
        module: where it is defined.
        name: of the class.
        arguments: argument -> what it may be.
        also: other paths under which configurations name it.
        fixed: arguments that a checkpoint does not decide: its weights fill the network anyway.
    """

    module: str
    name: str
    arguments: Mapping[str, Any]
    also: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths under which a configuration may name it."""
        return (f"{self.module}.{self.name}", *self.also)


SHAPE = {
    "spatial_dims": kinds.Dimensions,
    "in_channels": kinds.Width,
    "out_channels": kinds.Width,
}
"""What every class of MONAI takes."""


def _monai(file: str, *names: str, **arguments: Any) -> Known:
    """A class of MONAI, under its own name and its other ones; :data:`SHAPE` besides."""
    also = [f"monai.networks.nets.{name}" for name in names]
    also += [f"monai.networks.nets.{file}.{name}" for name in names[1:]]
    return Known(f"monai.networks.nets.{file}", names[0], SHAPE | arguments, tuple(also))


NETWORKS: Mapping[str, Known] = {
    "FlexibleUNet": Known(
        "segtrace.models.flexible_unet", "FlexibleUNet", FLEXIBLE, fixed={"pretrained": False}
    ),
    "MonaiFlexibleUNet": Known(
        "monai.networks.nets.flexible_unet",
        "FlexibleUNet",
        FLEXIBLE,
        also=(
            "monai.networks.nets.FlexibleUNet",
            "monai.networks.nets.FlexUNet",
            "monai.networks.nets.flexible_unet.FlexUNet",
        ),
        fixed={"pretrained": False},
    ),
    "BasicUNet": _monai(
        "basic_unet",
        "BasicUNet",
        "BasicUnet",
        "Basicunet",
        "basicunet",
        features=kinds.Widths,
        act=kinds.Activation,
        norm=kinds.Norm,
        bias=kinds.Flag,
        dropout=kinds.Dropout,
        upsample=UPSAMPLE,
    ),
    "UNet": _monai(
        "unet",
        "UNet",
        "Unet",
        channels=kinds.Widths,
        strides=kinds.PerLevel,
        kernel_size=kinds.Sizes,
        up_kernel_size=kinds.Sizes,
        num_res_units=kinds.Count,
        act=kinds.Activation,
        norm=kinds.Norm,
        dropout=kinds.Dropout,
        bias=kinds.Flag,
        adn_ordering=Literal["NDA", "NAD", "AND", "ADN", "DNA", "DAN", "NA", "AN", "A", "N"],
    ),
    "AttentionUnet": _monai(
        "attentionunet",
        "AttentionUnet",
        channels=kinds.Widths,
        strides=kinds.PerLevel,
        kernel_size=kinds.Sizes,
        up_kernel_size=kinds.Sizes,
        dropout=kinds.Dropout,
    ),
    "SegResNet": _monai(
        "segresnet",
        "SegResNet",
        init_filters=kinds.Width,
        dropout_prob=kinds.Share | None,
        act=kinds.Activation,
        norm=kinds.Norm,
        norm_name=Literal["", "group", "GROUP"],
        num_groups=kinds.Width,
        use_conv_final=kinds.Flag,
        blocks_down=kinds.Counts,
        blocks_up=kinds.Counts,
        upsample_mode=UPSAMPLE,
    ),
    "DynUNet": _monai(
        "dynunet",
        "DynUNet",
        "DynUnet",
        "Dynunet",
        kernel_size=kinds.PerLevel,
        strides=kinds.PerLevel,
        upsample_kernel_size=kinds.PerLevel,
        filters=kinds.Widths | None,
        dropout=kinds.Dropout,
        norm_name=kinds.Norm,
        act_name=kinds.Activation,
        deep_supervision=kinds.Flag,
        deep_supr_num=kinds.Count,
        res_block=kinds.Flag,
        trans_bias=kinds.Flag,
    ),
    "UNETR": _monai(
        "unetr",
        "UNETR",
        img_size=kinds.Width | kinds.Widths,
        feature_size=kinds.Width,
        hidden_size=kinds.Width,
        mlp_dim=kinds.Width,
        num_heads=kinds.Width,
        proj_type=Literal["conv", "perceptron"],
        norm_name=kinds.Norm,
        conv_block=kinds.Flag,
        res_block=kinds.Flag,
        dropout_rate=kinds.Share,
        qkv_bias=kinds.Flag,
        save_attn=kinds.Flag,
    ),
    # Without Hyena, which imports a package, and without layers given as classes.
    "SwinUNETR": _monai(
        "swin_unetr",
        "SwinUNETR",
        patch_size=kinds.Count,
        depths=kinds.Counts,
        num_heads=kinds.Widths,
        window_size=kinds.Window | kinds.Windows,
        qkv_bias=kinds.Flag,
        mlp_ratio=kinds.Number,
        feature_size=kinds.Width,
        norm_name=kinds.Norm,
        drop_rate=kinds.Share,
        attn_drop_rate=kinds.Share,
        dropout_path_rate=kinds.Share,
        normalize=kinds.Flag,
        patch_norm=kinds.Flag,
        use_checkpoint=kinds.Flag,
        downsample=Literal["merging", "mergingv2"],
        use_v2=kinds.Flag,
        use_flash_attention=kinds.Flag,
    ),
    "VNet": _monai(
        "vnet",
        "VNet",
        act=kinds.Activation,
        dropout_prob_down=kinds.Share | None,
        dropout_dim=kinds.Dimensions,
        bias=kinds.Flag,
    ),
    # Of several outputs the logits alone are trained, as the table of known networks picks them.
    # Without `preprocess`, which is code.
    "SegResNetDS": _monai(
        "segresnet_ds",
        "SegResNetDS",
        init_filters=kinds.Width,
        act=kinds.Activation,
        norm=kinds.Norm,
        blocks_down=kinds.Counts,
        blocks_up=kinds.Counts | None,
        dsdepth=kinds.Count,
        upsample_mode=UPSAMPLE,
        resolution=kinds.Numbers | None,
    ),
    "BasicUNetPlusPlus": _monai(
        "basic_unetplusplus",
        "BasicUNetPlusPlus",
        "BasicUnetPlusPlus",
        "BasicunetPlusPlus",
        "basicunetplusplus",
        features=kinds.Widths,
        deep_supervision=kinds.Flag,
        act=kinds.Activation,
        norm=kinds.Norm,
        bias=kinds.Flag,
        dropout=kinds.Dropout,
        upsample=UPSAMPLE,
    ),
    "MedNeXt": _monai(
        "mednext",
        "MedNeXt",
        "MedNext",
        init_filters=kinds.Width,
        encoder_expansion_ratio=kinds.Sizes,
        decoder_expansion_ratio=kinds.Sizes,
        bottleneck_expansion_ratio=kinds.Count,
        kernel_size=kinds.Count,
        deep_supervision=kinds.Flag,
        use_residual_connection=kinds.Flag,
        blocks_down=kinds.Counts,
        blocks_bottleneck=kinds.Count,
        blocks_up=kinds.Counts,
        norm_type=Literal["group", "layer"],
        global_resp_norm=kinds.Flag,
    ),
    "RonnebergerUNet": Known(
        "segtrace.models.ronneberger2015",
        "RonnebergerUNet",
        {
            "in_channels": kinds.Width,
            "out_channels": kinds.Width,
            "features": kinds.Widths,
            "norm": kinds.Norm,
            "dropout": kinds.Share,
        },
    ),
    "TransUNet": Known(
        "segtrace.models.chen2021",
        "TransUNet",
        {
            "in_channels": kinds.Width,
            "out_channels": kinds.Width,
            "img_size": kinds.Width | kinds.Widths,
            "width": kinds.Width,
            "blocks": kinds.Counts,
            "hidden_size": kinds.Width,
            "mlp_dim": kinds.Width,
            "num_layers": kinds.Count,
            "num_heads": kinds.Width,
            "dropout_rate": kinds.Share,
            "decoder_channels": kinds.Widths,
        },
    ),
}
"""key -> class."""
PATHS = {path: key for key, known in NETWORKS.items() for path in known.paths}
"""Class path, as configurations and older checkpoints name it -> key."""
