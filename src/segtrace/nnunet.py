"""nnU-Net v2: what makes its trainers explain while they train, and its trained models.

``export nnUNet_extTrainer=$(python -m segtrace.nnunet)`` lets nnU-Net find ``nnUNetTrainerFlow``.
:class:`FlowMixin` does the same to any other trainer, and :func:`read_result` reads what a training
has left. All are imported on first use.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtrace.integrations.nnunet.result import read_result
    from segtrace.integrations.nnunet.trainer import FlowMixin

TRAINERS = Path(__file__).parent / "integrations" / "nnunet" / "trainers"
"""The folder in which nnU-Net looks for trainers, as ``nnUNet_extTrainer``."""

_HOMES = {
    "FlowMixin": "segtrace.integrations.nnunet.trainer",
    "read_result": "segtrace.integrations.nnunet.result",
}

__all__ = ["TRAINERS", "FlowMixin", "read_result"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'segtrace.nnunet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


if __name__ == "__main__":
    print(TRAINERS)
