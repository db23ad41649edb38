"""The network of plans that nnU-Net v2 wrote before 2.4, in today's words."""

from collections.abc import Mapping
from typing import Any

from segtrace.errors import InputError, printable, unknown
from segtrace.integrations.files import needed

MARK = "UNet_class_name"
"""By which they are known."""
BLOCKS = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}
"""Class -> its argument that says how deep a stage is."""
WIDEST = 2**16


def architecture_of(own: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a configuration says of its network, as today's plans say it.

    Args:
        own: the configuration; today's is handed on.
        where: the file, for messages.

    Raises:
        InputError: it says nothing of a network, or names none of nnU-Net's.
    """
    if "architecture" in own or MARK not in own:
        found: dict[str, Any] = needed(own, "architecture", dict, where)
        return found
    name = own[MARK]
    if name not in BLOCKS:
        raise unknown("network", printable(name, 80), BLOCKS, f"{where}: {MARK}")
    depths = needed(own, "n_conv_per_stage_encoder", list, where)
    base = needed(own, "UNet_base_num_features", int, where)
    most = needed(own, "unet_max_num_features", int, where)
    if not (0 < base <= WIDEST and 0 < most <= WIDEST and len(depths) <= 32):
        raise InputError(f"{where}: {base} to {most} features in {len(depths)} stages; plan anew")
    sides = len(needed(own, "patch_size", list, where))
    arguments = {
        "n_stages": len(depths),
        "features_per_stage": [min(base * 2**i, most) for i in range(len(depths))],
        "conv_op": f"torch.nn.Conv{sides}d",
        "kernel_sizes": needed(own, "conv_kernel_sizes", list, where),
        "strides": needed(own, "pool_op_kernel_sizes", list, where),
        BLOCKS[name]: depths,
        "n_conv_per_stage_decoder": needed(own, "n_conv_per_stage_decoder", list, where),
        "conv_bias": True,
        "norm_op": f"torch.nn.InstanceNorm{sides}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    home = "dynamic_network_architectures.architectures.unet"
    return {"network_class_name": f"{home}.{name}", "arch_kwargs": arguments}
