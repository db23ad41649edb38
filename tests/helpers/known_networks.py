"""Small networks of the table: MONAI's own, and twins of others that bear the same names."""

from monai.networks import nets

from helpers import nets as own
from helpers.known_checks import Known
from helpers.twins import libraries, nnunet, published, segmentation_models
from segtrace.models.chen2021 import TransUNet
from segtrace.models.ronneberger2015 import RonnebergerUNet

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
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2}
    return nets.UNETR(1, 3, 32, 2, spatial_dims=dims, norm_name="batch", **sizes)


def swin_unetr(dims):
    return nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=dims, norm_name="batch", **HEADS)


def trans_unet():
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2, "num_layers": 2}
    widths = {"width": 4, "blocks": (1, 1, 2), "decoder_channels": (8, 8, 6, 4, 4)}
    return TransUNet(1, 3, 32, **sizes, **widths)


def plus_plus(dims):
    return nets.BasicUNetPlusPlus(dims, 1, 3, (4, 4, 6, 6, 8, 4), norm="batch")


def mednext(dims):
    options = {"blocks_bottleneck": 1, "deep_supervision": True}
    blocks = {"blocks_down": (1,) * 4, "blocks_up": (1,) * 4}
    return nets.MedNeXt(dims, 2, 1, 3, kernel_size=3, **blocks, **options)


ALL = slice(None)


def half(start, stop=None):
    """These channels of (N, K, *cells)."""
    return (ALL, slice(start, stop))


def last(count):
    return half(-count)


def summed(module, up, count):
    """Skip and up in one sum."""
    return {
        f"{way}_{i + 1}": place
        for i in range(count)
        for way, place in (
            ("skip", (module.format(i), 0, ..., up.format(i))),
            ("up", (up.format(i), None, ...)),
        )
    }


PLUS_PLUS = {
    f"{way}_{i}": place
    for i, (stage, width) in enumerate((("3_1", 6), ("2_2", 6), ("1_3", 4), ("0_4", 4)), 1)
    for way, place in (
        ("skip", (f"upcat_{stage}", 1, half(0, width))),
        ("up", (f"upcat_{stage}.upsample", None, ...)),
    )
}
FEATURES = (4, 4, 6, 6, 8)

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
    "SegResNetDS": Known(
        lambda: nets.SegResNetDS(2, 4, 1, 3, dsdepth=3),
        encoders=4,
        decoders=3,
        halves=summed("up_layers.{}.blocks", "up_layers.{}.upsample", 3),
    ),
    "SegResNetDS 3-D": Known(
        lambda: nets.SegResNetDS(3, 4, 1, 3, dsdepth=3),
        16,
        3,
        4,
        3,
        halves=summed("up_layers.{}.blocks", "up_layers.{}.upsample", 3),
    ),
    "BasicUNetPlusPlus": Known(lambda: plus_plus(2), halves=PLUS_PLUS),
    "BasicUNetPlusPlus 3-D": Known(lambda: plus_plus(3), 16, 3, halves=PLUS_PLUS),
    "MedNeXt": Known(lambda: mednext(2), halves=summed("dec_stages.{}", "up_blocks.{}", 4)),
    "MedNeXt 3-D": Known(lambda: mednext(3), axes=3),
}


def halves(skip, up, skips, ups):
    """Edge -> where it is, by the number of its decoder stage."""
    return {f"skip_{i}": skip(i - 1) for i in skips} | {f"up_{i}": up(i - 1) for i in ups}


def joined(module, widths):
    """Skip behind up in one argument of a module, both of these widths."""
    return {
        f"{way}_{i}": (module.format(i - 1), 0, half(*span))
        for i, width in enumerate(widths, 1)
        for way, span in (("skip", (width, None)), ("up", (0, width)))
    }


def nested(features):
    """UNet++ of smp: of what stands in the second argument the encoder's feature is the last."""
    return halves(
        lambda i: (_NESTED(i), 1, last(features[-2 - i])),
        lambda i: (_NESTED(i), 0, ...),
        range(1, 5),
        range(1, 6),
    )


def swin_halves(root, widths=(16, 8, 4)):
    """Tokens: their channels stand last."""
    places = {"up_1": (f"{root}layers_up.0", 0, ...)}
    for i, width in enumerate(widths, 1):
        place = f"{root}concat_back_dim.{i}", 0
        places[f"up_{i + 1}"] = (*place, (..., slice(width)))
        places[f"skip_{i + 1}"] = (*place, (..., slice(width, None)))
    return places


def segformer_halves(layers):
    """Of each feature of the encoder what its own layer of the decoder takes in."""
    names = ("skip_1_3", "skip_1_2", "skip_1", "up_1")
    return {name: (f"decode_head.{layers}.{i}", 0, ...) for i, name in enumerate(names)}


_STAGE = "decoder.{}".format


def entered(skips, ups):
    """The skip as the second argument of a stage, the up path behind the stage's own ``up``."""
    return halves(
        lambda i: (_STAGE(i), 1, ...), lambda i: (f"{_STAGE(i)}.up", None, ...), skips, ups
    )


OURS = {
    "segtrace RonnebergerUNet": Known(
        lambda: RonnebergerUNet(1, 3, FEATURES), halves=entered(range(1, 5), range(1, 5))
    ),
    "segtrace TransUNet": Known(trans_unet, halves=entered(range(1, 4), range(1, 5))),
}
_BLOCK = "decoder.blocks.{}".format
_NESTED = "decoder.blocks.x_0_{}".format
_PYRAMID = [f"decoder.p{i}" for i in (5, 4, 3, 2)]
TWINS = {
    "smp Unet": Known(
        segmentation_models.Unet,
        decoders=5,
        halves=halves(
            lambda i: (_BLOCK(i), "skip_connection", ...),
            lambda i: (_BLOCK(i), 0, ...),
            range(1, 5),
            range(1, 6),
        ),
    ),
    "smp UnetPlusPlus": Known(
        segmentation_models.UnetPlusPlus,
        decoders=5,
        halves=nested(FEATURES),
    ),
    "smp DeepLabV3Plus": Known(
        segmentation_models.DeepLabV3Plus,
        side=64,
        decoders=2,
        halves={
            "up_1": ("decoder.aspp", 0, ...),
            "skip_2": ("decoder.block1", 0, ...),
            "up_2": ("decoder.up", None, ...),
        },
        unaligned=("up_2",),
    ),
    "smp FPN": Known(
        segmentation_models.FPN,
        decoders=5,
        halves=halves(
            lambda i: (_PYRAMID[i], 1, ...),
            lambda i: (_PYRAMID[i], 0, ...),
            range(2, 5),
            range(1, 5),
        ),
    ),
    "nnU-Net": Known(
        nnunet.PlainConvUNet,
        encoders=4,
        decoders=3,
        halves=joined("decoder.stages.{}", (6, 6, 4)),
    ),
    "nnU-Net 3-D": Known(
        lambda: nnunet.PlainConvUNet(axes=3),
        16,
        3,
        encoders=4,
        decoders=3,
        halves=joined("decoder.stages.{}", (6, 6, 4)),
    ),
    "torchvision FCN": Known(libraries.FCN, encoders=4, decoders=1),
    "torchvision DeepLabV3": Known(libraries.DeepLabV3, encoders=4, decoders=2),
    "Segformer of transformers 5": Known(
        libraries.Segformer,
        encoders=4,
        decoders=1,
        halves=segformer_halves("linear_projections"),
    ),
    "Segformer of transformers 4": Known(
        lambda: libraries.Segformer(4),
        side=64,
        encoders=4,
        decoders=1,
        halves=segformer_halves("linear_c"),
    ),
    "TransUNet": Known(
        published.TransUNet,
        side=64,
        halves=halves(
            lambda i: (_BLOCK(i), "skip", ...),
            lambda i: (f"{_BLOCK(i)}.up", None, ...),
            range(1, 4),
            range(1, 5),
        ),
        unaligned=("skip_2",),  # made up with zeros
    ),
    "Swin-Unet": Known(published.SwinUnet, side=64, halves=swin_halves("swin_unet.")),
    "Swin-Unet alone": Known(published.SwinTransformerSys, side=64, halves=swin_halves("")),
}
NETWORKS = {**MONAI, **OURS, **TWINS}
FLAT = [name for name in NETWORKS if "3-D" not in name]


def network(name):
    known = NETWORKS[name]
    return own.stirred(known.build), known.images()
