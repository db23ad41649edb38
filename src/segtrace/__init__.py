"""See which stages a segmentation network uses for each organ.

Public and stable: :func:`trace`, :func:`integrate`, :func:`attribution_patching`,
:func:`sites_of`, :func:`collect`, :func:`necessity`, :func:`route`, :func:`describe`,
:func:`explain`, :func:`explain_checkpoint`, :func:`score_planted`, :class:`FlowCallback`,
:class:`InputError` and the package ``explainers``. Tracing needs torch alone, cutting also scipy
and xarray; what draws and writes (``explain``, ``explain_checkpoint``, ``explainers``,
``score_planted``, ``FlowCallback``) needs the pipeline, ``pip install segtrace[train]``. All are
imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from segtrace.errors import InputError

if TYPE_CHECKING:
    from segtrace import explainers
    from segtrace.attribution.describe import describe
    from segtrace.attribution.integrate import attribution_patching, integrate
    from segtrace.attribution.trace import trace
    from segtrace.causal.baselines import collect
    from segtrace.causal.necessity import necessity
    from segtrace.causal.route import route
    from segtrace.network.sites import sites_of
    from segtrace.planted.benchmark import score_planted
    from segtrace.studies.explain import explain
    from segtrace.studies.explain_checkpoint import explain_checkpoint
    from segtrace.training.callbacks.flow import FlowCallback

__version__ = "0.3.0"

_HOMES = {
    "FlowCallback": "segtrace.training.callbacks.flow",
    "attribution_patching": "segtrace.attribution.integrate",
    "collect": "segtrace.causal.baselines",
    "describe": "segtrace.attribution.describe",
    "explain": "segtrace.studies.explain",
    "explain_checkpoint": "segtrace.studies.explain_checkpoint",
    "integrate": "segtrace.attribution.integrate",
    "necessity": "segtrace.causal.necessity",
    "route": "segtrace.causal.route",
    "score_planted": "segtrace.planted.benchmark",
    "sites_of": "segtrace.network.sites",
    "trace": "segtrace.attribution.trace",
}

__all__ = [
    "FlowCallback",
    "InputError",
    "attribution_patching",
    "collect",
    "describe",
    "explain",
    "explain_checkpoint",
    "explainers",
    "integrate",
    "necessity",
    "route",
    "score_planted",
    "sites_of",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name == "explainers":
        return import_module("segtrace.explainers")
    if name not in _HOMES:
        raise AttributeError(f"module 'segtrace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
