"""Small networks of the table: MONAI's own, and twins of others that bear the same names."""

import pytest
from monai.networks import nets

from helpers import nets as own
from helpers.known_checks import Known
from helpers.twins import nnunet, segmentation_models

NARROW = (8, 8, 4, 4, 4)
HEADS = {"num_heads": (1, 1, 2, 2), "depths": (1, 1, 1, 1), "window_size": 4}


def dyn_unet(dims, **options):
    return nets.DynUNet(
        dims,
        1,
        3,
        [3] * 4,
        [1, 2, 2, 2],
        [2] * 3,
        filters=(4, 6, 8, 8),
        norm_name="batch",
        **options,
    )


def unetr(dims):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2}
    return nets.UNETR(1, 3, 32, 2, spatial_dims=dims, norm_name="batch", **sizes)


def swin_unetr(dims):
    pytest.importorskip("einops", reason="MONAI's transformers need einops")
    return nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=dims, norm_name="batch", **HEADS)


ALL = slice(None)


def half(start, stop=None):
    """These channels of (N, K, *cells)."""
    return (ALL, slice(start, stop))


MONAI = {
    "FlexibleUNet": Known(own.flexible_unet, decoders=5),
    "FlexibleUNet 3-D": Known(
        lambda: own.FlexibleUNet(1, 3, "resnet10", decoder_channels=NARROW, spatial_dims=3),
        axes=3,
        decoders=5,
    ),
    "FlexibleUNet EfficientNet": Known(
        lambda: own.FlexibleUNet(1, 3, "efficientnet-b0", decoder_channels=NARROW), decoders=5
    ),
    "BasicUNet": Known(own.basic_unet),
    "BasicUNet 3-D": Known(
        lambda: nets.BasicUNet(3, 1, 3, features=(2, 2, 4, 4, 4, 2), norm="batch"), 16, 3
    ),
    "UNet": Known(lambda: nets.UNet(2, 1, 3, (4, 6, 8, 8), (2, 2, 2), norm="batch"), 32, 2, 4, 2),
    "UNet residual": Known(
        lambda: nets.UNet(2, 1, 3, (4, 6, 8), (2, 2), num_res_units=2, norm="batch"), 32, 2, 3, 1
    ),
    "UNet 3-D": Known(lambda: nets.UNet(3, 1, 3, (4, 6, 8), (2, 2), norm="batch"), 16, 3, 3, 1),
    "AttentionUnet": Known(lambda: nets.AttentionUnet(2, 1, 3, (4, 6, 8), (2, 2)), 32, 2, 3, 2),
    "AttentionUnet 3-D": Known(lambda: nets.AttentionUnet(3, 1, 3, (4, 6, 8), (2, 2)), 16, 3, 3, 2),
    "SegResNet": Known(lambda: nets.SegResNet(2, 8, 1, 3), 32, 2, 4, 3),
    "SegResNet 3-D": Known(lambda: nets.SegResNet(3, 8, 1, 3), 16, 3, 4, 3),
    "DynUNet": Known(lambda: dyn_unet(2, deep_supervision=True), 32, 2, 4, 3),
    "DynUNet 3-D": Known(lambda: dyn_unet(3, res_block=True), 16, 3, 4, 3),
    "UNETR": Known(lambda: unetr(2)),
    "UNETR 3-D": Known(lambda: unetr(3), axes=3),
    "SwinUNETR": Known(lambda: swin_unetr(2), 64, 2, 6, 5, unaligned=("skip_1",)),
    "SwinUNETR 3-D": Known(lambda: swin_unetr(3), 64, 3, 6, 5),
    "VNet": Known(lambda: nets.VNet(2, 1, 3, dropout_dim=2)),
    "VNet 3-D": Known(lambda: nets.VNet(3, 1, 3), axes=3),
}

TWINS = {
    "smp Unet": Known(
        segmentation_models.Unet,
        decoders=5,
        halves={
            **{
                f"skip_{i}": (f"decoder.blocks.{i - 1}", "skip_connection", ...)
                for i in range(1, 5)
            },
            **{f"up_{i + 1}": (f"decoder.blocks.{i}", 0, ...) for i in range(5)},
        },
    ),
    "nnU-Net": Known(
        nnunet.PlainConvUNet,
        encoders=4,
        decoders=3,
        halves={
            f"{way}_{i}": (f"decoder.stages.{i - 1}", 0, half(*span))
            for i, k in ((1, 6), (2, 6), (3, 4))
            for way, span in (("skip", (k, None)), ("up", (0, k)))
        },
    ),
}
NETWORKS = {**MONAI, **TWINS}
FLAT = [name for name in NETWORKS if "3-D" not in name]


def network(name):
    known = NETWORKS[name]
    return own.stirred(known.build), known.images()
