"""The networks of nnU-Net: dynamic-network-architectures."""

from segtrace.network.known.record import Junction, Known

_UNETS = "dynamic_network_architectures.architectures.unet"

NNUNET = (
    Known(
        "nnU-Net",
        [f"{_UNETS}.PlainConvUNet", f"{_UNETS}.ResidualEncoderUNet"],
        [
            ("enc", r"encoder\.stages\.\d"),
            ("dec", r"decoder\.stages\.\d"),
            ("head", r"decoder\.seg_layers\.\d"),  # the last; the others are for training alone
        ],
        [Junction(up="decoder.transpconvs.{last}", argument=0, joined="cat")],
        output="0",  # deep supervision
    ),
)
