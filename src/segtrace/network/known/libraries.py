"""Networks of torchvision and of transformers."""

from segtrace.network.known.record import Known

_TORCHVISION = "torchvision.models.segmentation"
_NORM = r"segformer\.(stages\.\d\.layer_norm|encoder\.layer_norm\.\d)"  # of version 5, or 4
_BACKBONE = ("enc", r"backbone\.layer\d")

# None has a skip: the decoder takes in the last of the encoder's features, or all at once.
LIBRARIES = (
    Known(
        "torchvision FCN",
        [f"{_TORCHVISION}.fcn.FCN"],
        [_BACKBONE, ("dec", r"classifier\.2"), ("head", r"classifier")],
        output="out",
    ),
    Known(
        "torchvision DeepLabV3",
        [f"{_TORCHVISION}.deeplabv3.DeepLabV3"],
        [_BACKBONE, ("dec", r"classifier\.[03]"), ("head", r"classifier")],
        output="out",
    ),
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
        output="logits",
        resized=True,
        layouts={_NORM: "tokens"},
    ),
)
