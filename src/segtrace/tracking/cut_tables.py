"""What cutting found, as rows: beside the untrained network's, with intervals over cases."""

import math
from typing import Any

import xarray as xr

from segtrace.labelled import rows
from segtrace.measures.over_cases import COVERAGE, intervals
from segtrace.report.captions import plain
from segtrace.report.claims.routes import LEAST_DICE
from segtrace.report.figures.necessity import REPLACED
from segtrace.tracking.cuts import Cuts

NECESSITY = (
    "epoch", "site", "place", "cut_vertex", "cut", "organ", "dice", "dice_lost", "dice_lost_low",
    "dice_lost_high", "dice_lost_untrained", "score_lost", "slices", "cases", "p",
)  # fmt: skip
SLICES = (
    "epoch", "site", "place", "cut_vertex", "cut", "organ", "case", "number", "dice", "dice_cut",
    "score", "score_cut",
)  # fmt: skip
ROUTE = (
    "epoch", "source", "edge", "stage", "organ", "share", "sum_error", "change", "dice_lost",
)  # fmt: skip
"""Columns of the tables."""


def cut_tables(cuts: Cuts, untrained: Cuts | None) -> dict[str, list[dict[str, Any]]]:
    """Name of a file -> its rows: ``route.csv`` only where there is a route."""
    tables = {
        "necessity.csv": necessity_rows(cuts, untrained),
        "necessity_slices.csv": slice_rows(cuts),
    }
    return tables if cuts.route is None else tables | {"route.csv": route_rows(cuts)}


def necessity_rows(cuts: Cuts, untrained: Cuts | None) -> list[dict[str, Any]]:
    """One row a site and organ: means over the cases that hold the organ.

    ``dice_lost_low`` and ``dice_lost_high`` are the ends of the 95 % t interval over ``cases``
    cases, see :mod:`segtrace.measures.over_cases`; ``p`` that of
    :attr:`segtrace.report.claims.routes.Routes.p`.
    """
    found, lost = cuts.necessity, cuts.necessity.lost
    before = None if untrained is None else untrained.necessity.lost["mean"]
    shown = found.data.assign(
        dice=found.whole_dice,
        dice_lost=lost["mean"],
        dice_lost_low=lost["low"],
        dice_lost_high=lost["high"],
        dice_lost_untrained=_beside(before, lost["mean"]),
        score_lost=intervals(found.score_lost)["mean"],
        slices=found.data["whole_dice"].notnull().sum("slice"),
        cases=lost["cases"],
        p=cuts.routes.p,
        cut=found.data.attrs["cut"],
    )
    return rows(shown.assign_coords(epoch=((), cuts.epoch)), ("site", "organ"), NECESSITY)


def _beside(before: xr.DataArray | None, now: xr.DataArray) -> xr.DataArray:
    """The untrained network's numbers at the same places; NaN where it has none."""
    return now * math.nan if before is None else before.reindex_like(now)


def slice_rows(cuts: Cuts) -> list[dict[str, Any]]:
    """One row a site, organ and slice."""
    found = cuts.necessity.data
    names = {
        "dice": "dice_cut",
        "scores": "score_cut",
        "whole_dice": "dice",
        "whole_score": "score",
    }
    shown = found.rename(names).assign(cut=found.attrs["cut"], number=found["slice"])
    return rows(shown.assign_coords(epoch=((), cuts.epoch)), ("site", "organ", "slice"), SLICES)


def route_rows(cuts: Cuts) -> list[dict[str, Any]]:
    """One row an edge and organ; none without a route."""
    if cuts.route is None:
        return []
    found = cuts.route.summary
    lost = cuts.necessity.lost["mean"].rename(site="edge").drop_vars("place")
    shown = found.assign(dice_lost=lost.reindex_like(found))
    return rows(shown.assign_coords(epoch=((), cuts.epoch)), ("edge", "organ"), ROUTE)


def report(cuts: Cuts) -> None:
    """Print what is claimed of each organ's route: what it loses most by, if that is shown."""
    cut = cuts.necessity.data.attrs["cut"]
    print("\nDice lost when a stage or an edge (skip_i, up_i: what enters dec_i) is cut, "
          f"{cut}: in its place {REPLACED.get(cut, plain(cut))}")  # fmt: skip
    if cuts.left_out:
        print(f"  on none of the slices: {', '.join(cuts.left_out)}")
    if cuts.route is None:
        print("  stages alone: the edges of this network are not known; give edges=edges.yaml")
    for words in cuts.told():
        print(f"  {words}")
    if not bool((cuts.necessity.whole_dice >= LEAST_DICE).any()):
        return  # no organ has what can be lost, and no number is told
    print(f"  In brackets: mean over cases, 95 % t interval over cases. {COVERAGE}")
    print("  Sites that all evidence passes are left out: cut, they cost all there is.")
    print("  This is what the network relies on; one trained without the site might do as well.")
