"""The result of attribution patching: maps, estimates, and the cuts beside them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure

from segtrace.attribution.flow import Flow
from segtrace.causal.estimate import estimated
from segtrace.causal.faithfulness.estimates import LEAST_LOSSES
from segtrace.explainers.nanda2023.against_cuts import Check
from segtrace.explainers.stage_maps import StageMaps
from segtrace.labelled import Dataset, names_along, rows, tensor
from segtrace.progress import counted
from segtrace.report.captions import marks, title_of
from segtrace.report.claims.claim import Claim
from segtrace.report.claims.paths import path_claim
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.estimates import estimate_figure
from segtrace.report.page.sections import Section, Shown, Table, embedded
from segtrace.report.tables import save_table

if TYPE_CHECKING:
    from segtrace.explainers.nanda2023.attribution_patching import AttributionPatching

HALF = 0.5
"""Of the size of a site's losses: an estimate that is off by more is said to miss the site."""
EXACT = 1e-4
"""Of that size: an estimate that is off by no more is exact but for rounding."""


@dataclass(frozen=True)
class Spent:
    """Passes of one slice: forward and backward of the estimate, forward of the cuts."""

    forward: int
    backward: int
    cuts: int


@dataclass(frozen=True)
class Patched:
    """Maps of attribution patching at every stage and edge.

    Attributes:
        by: the explainer.
        maps: with their measures, as of other explainers.
        check: the estimates beside real cuts; ``None`` where none were made.
        late: the time was over before they were done.
        stages: site -> the decoder stage that an edge enters; "" for a stage.
        spent: what it took.
    """

    by: "AttributionPatching"
    maps: StageMaps
    check: Check | None
    late: bool
    stages: Mapping[str, str]
    spent: Spent

    @cached_property
    def estimates(self) -> Dataset:
        """``estimate`` over ``site``, ``organ`` and ``slice``: see :func:`.estimated`.

        With cuts beside it ``score_lost`` and ``dice_lost``, NaN for organs that none were made
        of.
        """
        import xarray as xr

        record = self.maps.explained.record
        flow, scene = record.flow, record.scene
        axes = ("site", "organ", "slice")
        found = xr.Dataset(
            {"estimate": (axes, estimated(flow))},
            {"site": list(flow.sites), "organ": list(flow.organs),
             "case": ("slice", list(scene.cases)), "number": ("slice", list(scene.slices)),
             "enters": ("site", [self.stages[site] for site in flow.sites])},
        )  # fmt: skip
        if self.check is None:
            return found
        beside = self.check.beside[["score_lost", "dice_lost"]].drop_vars(["case", "place"])
        return found.assign(beside.reindex(organ=list(flow.organs)))

    @property
    def flow(self) -> Flow:
        """The maps, at every stage and edge."""
        return self.maps.flow

    @property
    def claim(self) -> Claim | None:
        """What it names of skip and up, with why nothing is claimed; ``None`` without such."""
        found = None if self.check is None else self.check.tallies
        return path_claim(found) if found else None

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest: passes by kind, and whether the cuts that were asked for are there."""
        return self.maps.facts | {
            "passes": sum(vars(self.spent).values()),
            "passes_of": asdict(self.spent),
            "whole": not self.late,
            "cuts_made": self.check is not None,
        }

    def write(self, folder: Path | str) -> None:
        """What an explainer of stages writes, and the estimates.

        ``estimates.csv``, a row a site, organ and slice, with the real loss beside it where cuts
        were made; then also ``agreement.csv``, a row a site, ``within_stages.csv``, a row a decoder
        stage, organ and predictor, ``paths_tally.csv`` and ``figures/estimates.png``.
        """
        folder, found = Path(folder), self.estimates
        self.maps.write_with(folder, self.facts)
        along, check = ("site", "organ", "slice"), self.check
        names = ["site", "enters", "organ", "case", "number", "estimate"]
        names += ["score_lost", "dice_lost"] if check is not None else []
        save_table(folder / "estimates.csv", rows(found, along, names))
        if check is None:
            return
        save_table(folder / "agreement.csv", self._agreement(check))
        if check.ranks is not None:
            axes = ("stage", "organ", "predictor")
            ranks = rows(check.ranks, axes, (*axes, "rho", "losses"))
            save_table(folder / "within_stages.csv", ranks)
        if check.tallies:
            save_table(folder / "paths_tally.csv", [asdict(one) for one in check.tallies])
        figure, caption = self._figure(check)
        save_figure(folder / "figures", "estimates", figure, caption)

    def section(self) -> Section:
        """The maps; how far off the estimates are, where that is known; what is not claimed."""
        own, check = self.maps.section(), self.check
        if check is None:
            return Section(own.heading, (*own.sentences, self._cost(), self._unchecked()),
                           own.figures, own.tables)  # fmt: skip
        figure, caption = self._figure(check)
        said = (*own.sentences, self._cost(), self._off(check))
        said += () if self.claim is None else (str(self.claim),)
        tables = [Table.of(
            "How far the estimate is off at every site, over organs and slices; every organ and "
            "slice: estimates.csv.", self._agreement(check))]  # fmt: skip
        if check.ranks is not None and check.ranks["rho"].notnull().any():
            most = int(check.ranks["losses"].max())
            tables += [Table.of(
                "Spearman's ρ with the score that the cuts cost, within each decoder stage, over "
                f"n = {most} losses at most (two edges, all cases), mean over organs; of fewer "
                f"than {LEAST_LOSSES} none. Every organ with its n: within_stages.csv.",
                _over_organs(check.ranks))]  # fmt: skip
        return Section(own.heading, said, (Shown(embedded(figure), caption), *own.figures),
                       (*tables, *own.tables))  # fmt: skip

    def _figure(self, check: Check) -> tuple[Figure, str]:
        return estimate_figure(check.beside, self.by.cut, marks(self.maps.explained.record))

    def _agreement(self, check: Check) -> list[dict[str, Any]]:
        names = ("site", "place", "cut_vertex", "pairs", "bias", "rmse", "size")
        return rows(check.beside, ("site",), names)

    def _cost(self) -> str:
        one = self.spent
        cuts = ""
        if one.cuts:
            cuts = (
                f"; the cuts beside them took {one.cuts} forward passes, not counting some of "
                "every slice without a cut"
            )
        return (
            f"All {len(self.stages)} sites from {one.forward} forward and {one.backward} backward "
            f"passes of one image{cuts}."
        )

    def _unchecked(self) -> str:
        if self.late:
            return ("The time was over before the cuts were done, so nothing stands beside the "
                    "estimates: give more max_seconds.")  # fmt: skip
        return "No cuts were made, so how far off the estimates are is not known here."

    def _off(self, check: Check) -> str:
        """Where the estimate is near, and where it is not, as counts: of one network."""
        every = rows(check.beside, ("site",), ("site", "bias", "rmse", "size"))
        exact = [one["site"] for one in every if one["rmse"] <= EXACT * one["size"]]
        again = {site: of for site, of in _twins(check.beside).items() if site not in exact}
        sites = [one for one in every if one["site"] not in (*exact, *again)]
        apart = f" Not counted: {', '.join(exact)}, exact, since all behind it is linear." * bool(
            exact)  # fmt: skip
        pairs = ", ".join(f"{site} is {of}" for site, of in again.items())
        apart += f" Counted once: {pairs}." * bool(again)
        if not sites:
            return f"No site is left to count.{apart} No claim."
        missed = [one["site"] for one in sites if not one["rmse"] <= HALF * one["size"]]
        near = len(sites) - len(missed)
        where = f"; not at {', '.join(missed)}" if missed else ""
        low = sum(one["bias"] < 0 for one in sites)
        return (
            f"At {near} of {counted(len(sites), 'site')} the estimate is off by less than half of "
            f"what an estimate of 0 is off by{where}. On average it is too low at {low} of "
            f"them.{apart} Of this network and these slices: no claim."
        )


def _twins(beside: Dataset) -> dict[str, str]:
    """Site -> an earlier one that is the same tensor: what is estimated and lost is the same."""
    names = names_along(beside, "site")
    both = [tensor(beside[name]).double().flatten(1) for name in ("estimate", "score_lost")]
    each = torch.cat(both, 1).nan_to_num(0.0)  # absent of the same slices at every site
    found: dict[str, str] = {}
    for s, site in enumerate(names):
        off, size = (each[:s] - each[s]).norm(dim=1), each[s].norm()
        same = (off <= EXACT * size).nonzero()[:, 0].tolist() if size > 0 else []
        if same:
            found[site] = names[same[0]]
    return found


def _over_organs(ranks: Dataset) -> list[dict[str, Any]]:
    """A row a predictor, a column a decoder stage."""
    mean = ranks["rho"].mean("organ")
    stages = names_along(mean, "stage")
    return [
        {"predictor": title_of(name)}
        | dict(zip(stages, mean.sel(predictor=name).values.tolist(), strict=True))
        for name in names_along(mean, "predictor")
    ]
