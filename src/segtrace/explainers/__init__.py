"""Methods of other papers, beside the rules; from Python each is a function, made on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtrace.explainers.doors import (
        ablation_cam,
        attribution_patching,
        channel_cuts,
        deepdream,
        kernel_shap,
        kernel_weighted,
        misure,
        rise,
        segnbdt,
    )

__all__ = [
    "ablation_cam",
    "attribution_patching",
    "channel_cuts",
    "deepdream",
    "kernel_shap",
    "kernel_weighted",
    "misure",
    "rise",
    "segnbdt",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'segtrace.explainers' has no attribute {name!r}")
    from segtrace.explainers import doors  # which needs what draws and writes

    return getattr(doors, name)
