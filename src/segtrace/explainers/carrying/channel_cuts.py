"""Channel cuts: the Dice that an organ loses where groups of a stage's channels are cut."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from time import perf_counter
from typing import Any, ClassVar

import torch

from segtrace.attribution.targets import Target
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import SLICES, Clock, seconds_per_slice
from segtrace.causal.channels import ChannelLosses, channel_losses, passes
from segtrace.causal.guards import BASELINES
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import CUTS, check_cut, replacing
from segtrace.errors import InputError, unknown
from segtrace.explainers.carrying.carried import Carried
from segtrace.explainers.channels import stages_of
from segtrace.explainers.explainer import Budget, OutOfTimeError, checked_seconds
from segtrace.network import guards
from segtrace.network.hooks import observe
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.tracking.explained import Network, organs_on


@guards.fields(
    cut=guards.a_name,
    groups=guards.a_count,
    max_seconds=guards.optional(guards.a_number),
    baselines=guards.optional(BASELINES),
)
@dataclass(frozen=True)
class ChannelCuts:
    """Which channels carry an organ: the cuts of Ablation-CAM, judged by Dice.

    Each group of a stage's channels is cut alone; then ever more of them together, from the
    costliest on by the order of the other cases, beside the orders of other organs and of chance.

    Attributes:
        cut: what stands in the place of cut channels, one of
            :data:`segtrace.causal.replacement.CUTS`.
        groups: into so many a stage's channels are parted at most, in their order.
        max_seconds: a stage that is not begun by then is left out; ``None`` for no limit.
        baselines: means over training slices; ``explain.py`` takes those of the checkpoint.

    Raises:
        InputError: an unknown cut; no group; no time at all.
    """

    name: ClassVar[str] = "channel_cuts"
    title: ClassVar[str] = "Which channels carry an organ"
    equation: ClassVar[str] = (
        "Cuts of channels, as Ablation-CAM (Desai and Ramaswamy 2020) makes them, judged by the "
        "Dice that an organ loses"
    )
    papers: ClassVar[tuple[str, ...]] = ("desai2020",)
    of_volumes: ClassVar[bool] = True
    by_size: ClassVar[bool] = True

    cut: str = "channel_mean"
    groups: int = 32
    max_seconds: float | None = 600.0
    baselines: Baselines | None = field(default=None, repr=False)

    DRAWS: ClassVar[int] = 3

    def __post_init__(self) -> None:
        checked_seconds(self.max_seconds)
        if self.cut not in CUTS:
            raise unknown("cut", self.cut, CUTS)

    def cutting(
        self, baselines: Baselines | None, edges: Mapping[str, Any] | None
    ) -> "ChannelCuts":
        """See :class:`~segtrace.explainers.explainer.Cutting`."""
        return replace(self, baselines=baselines)

    def check_fit(self, network: Network) -> None:
        """See :class:`~segtrace.explainers.explainer.Particular`.

        Raises:
            InputError: slices without labels; what a cut needs is missing.
        """
        if network.probes.labels is None:
            raise InputError(
                f"{self.name} is judged by Dice, and these slices have no labels; "
                "give those of the checkpoint, or data=…"
            )
        check_cut(self.cut, network.probes.cases, self.baselines, 1)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> Carried:
        """Cut group after group; see :class:`~segtrace.explainers.explainer.Explainer`.

        Raises:
            InputError: slices without labels or without any organ; missing baselines; not even one
                stage is begun in time.
        """
        self.check_fit(network)
        start, net, probes = perf_counter(), unwrapped(network.net), network.probes
        assert probes.labels is not None  # as was checked
        _, held = organs_on(probes.labels, network.channels, list(targets))
        if not held:
            raise InputError(f"{self.name}: none of the organs is on these slices; name others")
        x, found = as_input(net, probes.images), dict[str, ChannelLosses]()
        with undisturbed(net, x.device), torch.no_grad():
            judge = Judge.at(net, x, held, probes.labels, activation=network.settings.activation)
            sites = stages_of(net, network)
            seen = observe(net, sites, x[:1]).activations
            parted = {site: torch.arange(seen[site.name].shape[1]).split(
                ceil(seen[site.name].shape[1] / self.groups)) for site in sites}  # fmt: skip
            stands = replacing(net, sites, x, probes.cases, self.cut, self.baselines, 1)
            total = sum(passes(len(own), len(held), self.DRAWS) for own in parted.values()) * len(x)
            words = f"{self.title}: {total} forward passes of one image"
            with budget.shown(words) as tell:
                clock = Clock(total, seconds_per_slice(net, x[:SLICES]), tell)
                for site in sites:
                    if budget.is_over(start):
                        break
                    found[site.name] = channel_losses(
                        net, site, x, judge, stands, parted[site], probes.cases,
                        draws=self.DRAWS, step=clock.step,
                    )  # fmt: skip
        if not found:
            raise OutOfTimeError(f"{self.title}: the time was over; give more max_seconds")
        left_out = tuple(name for name in sites.names if name not in found)
        return Carried(self, found, tuple(held), tuple(probes.cases), probes.marks, left_out,
                       perf_counter() - start)  # fmt: skip
