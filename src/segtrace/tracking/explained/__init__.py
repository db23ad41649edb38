"""Explain slices: the one step that the callback and ``explain.py`` share."""

from segtrace.tracking.explained.chosen import (
    check_chosen,
    chosen_organs,
    organs_on,
    targets_of,
)
from segtrace.tracking.explained.result import Explained
from segtrace.tracking.explained.settings import DEFAULT, FAILURES, Settings, of_failures, under
from segtrace.tracking.explained.step import check_explainable, explain_probes
from segtrace.tracking.explained.tracing import (
    Network,
    body_in,
    flows_of_parts,
    scene,
    settled,
    traced,
)

__all__ = [
    "DEFAULT",
    "FAILURES",
    "Explained",
    "Network",
    "Settings",
    "body_in",
    "check_chosen",
    "check_explainable",
    "chosen_organs",
    "explain_probes",
    "flows_of_parts",
    "of_failures",
    "organs_on",
    "scene",
    "settled",
    "targets_of",
    "traced",
    "under",
]
