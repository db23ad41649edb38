"""The networks of segmentation-models-pytorch, with those of its encoders that have a pattern."""

from dataclasses import replace

from segtrace.network.known.record import Junction, Known

_DECODERS = "segmentation_models_pytorch.decoders"
# The encoders return lists, so their stages are the modules inside them.
_ENCODER = [
    ("enc", r"encoder\.(relu|act1|layer\d)"),  # ResNet, ResNeXt, SE-Net, SK-Net
    ("enc", r"encoder\.features\.(relu0|transition\d\.relu|norm5)"),  # DenseNet
    ("enc", r"encoder\.features\.([136]|13):InvertedResidual"),  # MobileNetV2
    ("enc", r"encoder\.features\.18:Conv2dNormActivation"),
    ("enc", r"encoder\.bn1:BatchNormAct2d"),  # EfficientNet of timm
    ("enc", r"encoder\.blocks\.[1246]"),
    ("enc", r"encoder\.stage\d"),  # MobileOne
    ("enc", r"encoder\.norm\d"),  # Mix Transformer; its first feature is empty
]
_INTO_BLOCK = Junction(up="{stage}", up_argument=0, argument=1)
_DEPTH = "encoder._depth"
_BESIDE_THE_CLASS = "0"  # of the image, which the network returns as well with aux_params

SEGMENTATION_MODELS = (
    # The paper's own network: five encoder features, five decoder blocks, head. The up path is
    # resized inside the block, by no module.
    Known(
        "smp Unet",
        [f"{_DECODERS}.unet.model.Unet"],
        [*_ENCODER, ("dec", r"decoder\.blocks\.\d"), ("head", r"segmentation_head\.0")],
        [Junction(up="{stage}", up_argument=0, argument="skip_connection")],
        output=_BESIDE_THE_CLASS,
        depth=_DEPTH,
    ),
    # Of the nested decoder the blocks that follow one another up to the output. What they take in
    # from other nested blocks, beside the encoder's feature, is neither skip nor up path.
    Known(
        "smp UnetPlusPlus",
        [f"{_DECODERS}.unetplusplus.model.UnetPlusPlus"],
        [*_ENCODER, ("dec", r"decoder\.blocks\.x_0_\d"), ("head", r"segmentation_head\.0")],
        [
            _INTO_BLOCK,
            replace(_INTO_BLOCK, joined="cat", beside="decoder.blocks.x_{count}_{count}"),
        ],
        output=_BESIDE_THE_CLASS,
        depth=_DEPTH,
    ),
    Known(
        "smp DeepLabV3Plus",
        [f"{_DECODERS}.deeplabv3.model.DeepLabV3Plus"],
        [*_ENCODER, ("dec", r"decoder\.(aspp|block2)"), ("head", r"segmentation_head\.0")],
        [
            Junction(up="{stage}", up_argument=0),
            Junction(up="decoder.up", skip="decoder.block1", argument=0),
        ],
        sources=["", "enc2"],
        output=_BESIDE_THE_CLASS,
        depth=_DEPTH,
    ),
    # The pyramid, and where its levels are merged; on their way there they pass further blocks.
    Known(
        "smp FPN",
        [f"{_DECODERS}.fpn.model.FPN"],
        [*_ENCODER, ("dec", r"decoder\.(p\d|merge)"), ("head", r"segmentation_head\.0")],
        [
            Junction(up="{stage}", up_argument=0),
            *[_INTO_BLOCK] * 3,
            None,
        ],
        sources=["", 1, 2, 3],
        output=_BESIDE_THE_CLASS,
        depth=_DEPTH,
    ),
)
