"""Attribution patching: what cutting each stage and edge would cost, from one gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar

import torch

from segtrace.attribution.flow import Flow
from segtrace.attribution.patching import EQUATION, NAME, PAPERS, TITLE
from segtrace.attribution.targets import Target
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import Baselines
from segtrace.causal.estimate import estimating
from segtrace.causal.guards import BASELINES
from segtrace.causal.replacement import CUTS, check_cut, replacing
from segtrace.errors import unknown
from segtrace.explainers.explainer import Budget, checked_seconds
from segtrace.explainers.nanda2023.against_cuts import CHECKED, Check, against_cuts
from segtrace.explainers.nanda2023.patched import Patched, Spent
from segtrace.explainers.stage_maps import StageMaps, measured
from segtrace.network import guards
from segtrace.network.edges import Edge
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress, Progress
from segtrace.tracking.edges import settled_sites
from segtrace.tracking.explained import Network


@guards.fields(
    cut=guards.a_name,
    draws=guards.a_count,
    check=guards.a_switch,
    max_seconds=guards.optional(guards.a_number),
    baselines=guards.optional(BASELINES),
)
@dataclass(frozen=True)
class AttributionPatching:
    """Nanda 2023, Syed et al. 2023: the first order of a cut, a map a stage and edge.

    The map is Σ_k G_k ⊙ (A_k - A'_k), A' what the cut puts in the place of A; its sum over the
    cells, here a mean over the region's pixels, estimates the score that the cut costs. It takes
    one forward pass of every slice, and a backward pass an organ, for all sites together. Exact
    where the network behind the site is linear. Where the slices are labelled, or the region is
    the prediction, the same cuts are then made for real: a forward pass a site and slice.

    Attributes:
        cut: A', one of :data:`segtrace.causal.replacement.CUTS`.
        draws: other slices per slice, for ``resample``.
        check: make the cuts for real, too.
        max_seconds: cuts that are not done by then are left out, all of them; ``None`` for no
            limit.
        baselines: means over training slices, for ``channel_mean`` and ``mean_map``;
            ``explain.py`` takes those of the checkpoint.
        edges: name -> edge; ``None`` for the table of known networks. As there.

    Raises:
        InputError: an unknown cut; no draw; no time at all.
    """

    name: ClassVar[str] = NAME
    title: ClassVar[str] = TITLE
    equation: ClassVar[str] = EQUATION
    papers: ClassVar[tuple[str, ...]] = PAPERS
    of_volumes: ClassVar[bool] = True
    by_size: ClassVar[bool] = True

    cut: str = "channel_mean"
    draws: int = 5
    check: bool = True
    max_seconds: float | None = 600.0
    baselines: Baselines | None = field(default=None, repr=False)
    edges: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        checked_seconds(self.max_seconds)
        if self.cut not in CUTS:
            raise unknown("cut", self.cut, CUTS)

    def cutting(
        self, baselines: Baselines | None, edges: Mapping[str, Any] | None
    ) -> "AttributionPatching":
        """See :class:`~segtrace.explainers.explainer.Cutting`."""
        return replace(self, baselines=baselines, edges=edges)

    def check_fit(self, network: Network) -> None:
        """See :class:`~segtrace.explainers.explainer.Particular`.

        Raises:
            InputError: what a cut needs is missing.
        """
        check_cut(self.cut, network.probes.cases, self.baselines, self.draws)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> Patched:
        """Trace once, and cut; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: baselines that are missing or of another network; a single slice to
                resample; values that are not finite.
        """
        start, net, settings = perf_counter(), unwrapped(network.net), network.settings
        images, cases = network.probes.images, network.probes.cases
        guards.a_finite_image("image", images)
        sites = self._sites(network)
        x, draws = as_input(net, images), self.draws if self.cut == "resample" else 1
        with undisturbed(net, x.device), torch.no_grad():
            stands = replacing(net, sites, x, cases, self.cut, self.baselines, draws)
        flow = trace(net, sites, images, targets, [estimating(stands, draws)], settings.score,
                     activation=settings.activation).cpu()  # fmt: skip
        found, late = None, False
        if self.check and settings.region in CHECKED:
            found, late = self._checked(network, sites, flow, draws, budget, start)
        stages = StageMaps(
            self, measured(self, flow, network, epoch), (), len(images), perf_counter() - start
        )
        places = {site.name: site.stage if isinstance(site, Edge) else "" for site in sites}
        cuts = len(images) * len(sites) * draws * (found is not None)
        backward = len(images) * len(targets)
        return Patched(self, stages, found, late, places, Spent(len(images), backward, cuts))

    def _sites(self, network: Network) -> list[Site]:
        """Stages, those that the settings name, and edges."""
        chosen = network.settings.stages
        found = settled_sites(network.net, network.stages, self.edges, network.probes.images)
        return [s for s in found if isinstance(s, Edge) or chosen is None or s.name in chosen]

    def _checked(
        self,
        network: Network,
        sites: list[Site],
        flow: Flow,
        draws: int,
        budget: Budget,
        start: float,
    ) -> tuple[Check | None, bool]:
        """The cuts, and whether the time was over before they were done."""
        words = f"{self.title}: cutting {len(sites)} stages and edges to compare"
        with budget.shown(words) as tell:
            try:
                hears = _within(budget, start, tell)
                return against_cuts(
                    network, sites, flow, self.baselines, self.cut, draws, hears
                ), False
            except _OverError:
                return None, True


class _OverError(Exception):
    """The time is over."""


def _within(budget: Budget, start: float, tell: OnProgress | None) -> OnProgress:
    def hear(progress: Progress) -> None:
        if tell is not None:
            tell(progress)
        if progress.done < progress.total and budget.is_over(start):
            raise _OverError

    return hear
