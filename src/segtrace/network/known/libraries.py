"""Networks of torchvision and of transformers."""

from segtrace.network.known.record import Known

_TORCHVISION = "torchvision.models.segmentation"
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
    # Its logits have a quarter of the image's sides.
    Known(
        "SegformerForSemanticSegmentation",
        ["transformers.models.segformer.modeling_segformer.SegformerForSemanticSegmentation"],
        [
            ("enc", r"segformer\.stages\.\d"),
            ("enc", r"segformer\.encoder\.layer_norm\.\d"),  # transformers 4
            ("dec", r"decode_head\.activation"),
            ("head", r"decode_head\.classifier"),
        ],
        output="logits",
        layouts={r"segformer\.encoder\.layer_norm\.\d": "tokens"},
    ),
)
