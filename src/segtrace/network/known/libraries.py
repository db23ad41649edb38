"""Networks of torchvision and of transformers."""

from segtrace.network.known.record import Entering, Known

_TORCHVISION = "torchvision.models.segmentation"
_NORM = r"segformer\.(stages\.\d\.layer_norm|encoder\.layer_norm\.\d)"  # of version 5, or 4
_BACKBONE = ("enc", r"backbone\.layer\d")

# The decoder takes in the last of the encoder's features, or all at once.
_NO_SKIP = "its decoder takes in the encoder's last feature alone, so that there is no skip to cut"

LIBRARIES = (
    Known(
        "torchvision FCN",
        [f"{_TORCHVISION}.fcn.FCN"],
        [_BACKBONE, ("dec", r"classifier\.2"), ("head", r"classifier")],
        edgeless=_NO_SKIP,
        output="out",
    ),
    Known(
        "torchvision DeepLabV3",
        [f"{_TORCHVISION}.deeplabv3.DeepLabV3"],
        [_BACKBONE, ("dec", r"classifier\.[03]"), ("head", r"classifier")],
        edgeless=_NO_SKIP,
        output="out",
    ),
    # All of the encoder's features enter dec1, each over a layer of its own.
    # Hooks of its own hand a stage's output to the decoder before anyone else's can change it, so a
    # stage is what its last norm puts out.
    Known(
        "SegformerForSemanticSegmentation",
        ["transformers.models.segformer.modeling_segformer.SegformerForSemanticSegmentation"],
        [
            ("enc", _NORM),
            ("dec", r"decode_head\.activation"),
            ("head", r"decode_head\.classifier"),
        ],
        entering=[
            Entering(name, "dec1", rf"decode_head\.linear_(projections|c)\.{i}", 0, f"enc{i + 1}")
            for name, i in (("skip_1", 2), ("skip_1_2", 1), ("skip_1_3", 0), ("up_1", 3))
        ],
        output="logits",
        resized=True,
        layouts={_NORM: "tokens"},
    ),
)
