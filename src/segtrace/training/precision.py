"""Precisions in which nothing can be explained, refused before a training begins."""

from collections.abc import Mapping
from typing import Any

from segtrace.errors import InputError

HALF = ("bf16-true", "16-true", "transformer-engine", "transformer-engine-float16")
"""What Lightning calls half precision of the parameters themselves."""
INSTEAD = "bf16-mixed"


def refuse_half(precision: object, option: str = "precision") -> None:
    """Refuse a trainer that makes the parameters half precision.

    Args:
        precision: as Lightning names it.
        option: how the user says it.

    Raises:
        InputError: maps of such parameters would be noise; says which precision is as fast.
    """
    if precision in HALF:
        raise InputError(
            f"{option}={precision} keeps the parameters themselves in half precision, of which "
            f"maps would be noise; say {option}={INSTEAD}, or {option}=32-true"
        )


def refuse_half_in(config: Mapping[str, Any]) -> None:
    """The same for a configuration of ``train.py`` that explains while it trains.

    Raises:
        InputError: see :func:`refuse_half`.
    """
    nodes = [node for node in config["callbacks"].values() if isinstance(node, Mapping)]
    if any(str(node.get("_target_")).endswith(".FlowCallback") for node in nodes):
        refuse_half(config["trainer"].get("precision"), "trainer.precision")
