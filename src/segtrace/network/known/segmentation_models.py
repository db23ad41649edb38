"""The networks of segmentation-models-pytorch; the encoders are ResNets and their kin."""

from segtrace.network.known.record import Junction, Known

_DECODERS = "segmentation_models_pytorch.decoders"
# The encoders return lists, so their stages are the modules inside them.
_ENCODER = [
    ("enc", r"encoder\.relu"),
    ("enc", r"encoder\.layer\d"),
]

SEGMENTATION_MODELS = (
    # The paper's own network: five encoder features, five decoder blocks, head. The up path is
    # resized inside the block, by no module.
    Known(
        "smp Unet",
        [f"{_DECODERS}.unet.model.Unet"],
        [*_ENCODER, ("dec", r"decoder\.blocks\.\d"), ("head", r"segmentation_head\.0")],
        Junction(up="{stage}", up_argument=0, argument="skip_connection"),
        output="0",  # beside it the class, with aux_params
    ),
)
