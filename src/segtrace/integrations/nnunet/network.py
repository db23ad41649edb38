"""The network that an nnU-Net planned: its class out of a fixed table, its arguments plain values.

What a plan names is looked up here and nowhere else: no name in it is imported.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from torch import Tensor, nn

from segtrace.checkpoint.plain import stored
from segtrace.errors import InputError, printable, unknown
from segtrace.integrations.files import needed
from segtrace.integrations.nnunet.older_plans import BLOCKS
from segtrace.integrations.nnunet.plans import Plans
from segtrace.models import arguments as kinds
from segtrace.models.networks import called

HOME = "dynamic_network_architectures.architectures.unet"
EXTRA = "pip install 'segtrace[nnunet]'"
_DIMENSIONS = ("2d", "3d")
LAYERS: dict[str, dict[str, type[nn.Module]]] = {
    "conv_op": {f"Conv{d}": getattr(nn, f"Conv{d}") for d in _DIMENSIONS},
    "norm_op": {
        f"{norm}Norm{d}": getattr(nn, f"{norm}Norm{d}")
        for norm in ("Instance", "Batch")
        for d in _DIMENSIONS
    },
    "dropout_op": {f"Dropout{d}": getattr(nn, f"Dropout{d}") for d in _DIMENSIONS},
    "nonlin": {cls.__name__: cls for cls in (nn.LeakyReLU, nn.ReLU, nn.GELU, nn.ELU, nn.SiLU)},
}
"""Argument -> the classes that it may name, by the last part of their name in torch.nn."""
_KINDS: dict[str, Any] = {
    "n_stages": kinds.Count,
    "features_per_stage": kinds.Width | kinds.Widths,
    "kernel_sizes": kinds.Count | kinds.PerLevel,
    "strides": kinds.Count | kinds.PerLevel,
    "n_conv_per_stage_decoder": kinds.Sizes,
    "conv_bias": kinds.Flag,
    "deep_supervision": kinds.Flag,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "norm_op_kwargs": {"eps": kinds.Number, "affine": kinds.Flag, "momentum": kinds.Share,
                       "track_running_stats": kinds.Flag},
    "dropout_op_kwargs": {"p": kinds.Share, "inplace": kinds.Flag},
    "nonlin_kwargs": {"inplace": kinds.Flag, "negative_slope": kinds.Number,
                      "approximate": Literal["none", "tanh"]},
}  # fmt: skip
"""Argument -> options of a layer, and what each may be."""
ROOM, SLACK = 4, 2**20
"""As many times the bytes of the weights in the file, and beside, may a network take."""


def build(plans: Plans, heads: int, weights: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network of a plan, not filled; one that its weights do not warrant is not built.

    Args:
        plans: say which.
        heads: channels of its logits.
        weights: that it will be filled with.
        where: the file, for messages.

    Raises:
        InputError: a class that is not nnU-Net's; an argument or layer that it does not take; the
            package of nnU-Net's networks is not installed.
    """
    name, arguments = described(plans.architecture, where)
    try:
        cls = getattr(import_module(HOME), name)
    except ImportError as error:
        raise InputError(
            f"nnU-Net's networks are in dynamic-network-architectures, which is not here: {EXTRA}"
        ) from error
    own = {**arguments, "input_channels": plans.channels, "num_classes": heads}
    own["deep_supervision"] = False
    net = called(cls, own, f"{where}: {name}", ROOM * stored(weights.values()) + SLACK)
    return net.eval()


def described(architecture: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Class and arguments of a plan, classes in the place of their names.

    Raises:
        InputError: see :func:`build`.
    """
    target = needed(architecture, "network_class_name", str, where)
    home, _, name = target.rpartition(".")
    if name not in BLOCKS or not home.startswith("dynamic_network_architectures."):
        known = [f"{HOME}.{one}" for one in BLOCKS]
        raise unknown("network", printable(target, 120), known, "what is known of nnU-Net")
    given = dict(needed(architecture, "arch_kwargs", dict, where))
    at = f"{where}: {name}"
    found: dict[str, Any] = {}
    for key, classes in LAYERS.items():
        found[key] = _layer(given.pop(key, None), key, classes, at)
    for key, options in _OPTIONS.items():
        value = given.pop(key, None)
        if not isinstance(value, dict | None):
            raise InputError(f"{at}: {key}={printable(repr(value), 80)}; options are needed")
        found[key] = value and kinds.checked(options, value, f"{at}: {key}")
    plain = kinds.checked(_KINDS | {BLOCKS[name]: kinds.Sizes}, given, at)
    if found["conv_op"] is None:
        raise InputError(f"{at}: conv_op is missing; name torch.nn.Conv2d or Conv3d")
    return name, found | plain


def _layer(
    value: Any, key: str, known: Mapping[str, type[nn.Module]], where: str
) -> type[nn.Module] | None:
    if value is None:
        return None
    home, _, name = str(value).rpartition(".")
    if name not in known or not (home == "torch.nn" or home.startswith("torch.nn.modules.")):
        names = [f"torch.nn.{one}" for one in known]
        raise unknown(key, printable(value, 80), names, f"{where}: {key}")
    return known[name]
