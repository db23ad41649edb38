"""Necessity: what an organ loses when a site is cut.

A map says where a stage's evidence lies; only a cut says whether the network uses it. What is
found is this trained network's reliance on a site: a network trained without it might do as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.forward import Output
from segtrace.attribution.passes import per_pass
from segtrace.causal import guards
from segtrace.causal.baselines import Baselines
from segtrace.causal.batches import SLICES, Batches, Clock, seconds_per_slice
from segtrace.causal.outcome import Judge, Outcome
from segtrace.causal.replacement import Replacement, replacing
from segtrace.causal.vertices import Wiring
from segtrace.errors import InputError
from segtrace.labelled import DataArray, Dataset, Form, Result, names_along
from segtrace.measures.over_cases import intervals
from segtrace.network.cached_forward import CachedForward, Timetable
from segtrace.network.hooks import Edit, edit
from segtrace.network.joints import settled
from segtrace.network.sites import Site
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped
from segtrace.progress import OnProgress


@dataclass(frozen=True, eq=False)
class Necessity(Result):
    """Dice and score of every organ and slice, whole and with each site cut.

    Attributes:
        data: axes ``site``, ``organ`` and ``slice``; NaN where the organ is absent from the slice.
            ``whole_dice`` and ``whole_score``: of the network as it is. ``dice`` and ``scores``:
            with a site cut, mean over the draws. ``cut_vertex``: bool, every path runs through the
            site: total by construction, left out of ranks. ``place``: ``stage`` or ``edge``.
            ``path_end``: the last site on the path that the site is a part of, see
            :attr:`segtrace.causal.vertices.Wiring.path_ends`; itself where not known.
            ``case``: of each slice. In its attributes ``cut``, what stood in the place of an
            activation, one of :data:`segtrace.causal.replacement.CUTS`; ``draws``, how often, for
            ``resample``, else 1; ``score``, φ of the score, the mean φ(logit) of the organ over
            its own pixels.
    """

    form = Form(
        {
            "cut_vertex": "site",
            "whole_dice": "organ slice",
            "whole_score": "organ slice",
            "dice": "site organ slice",
            "scores": "site organ slice",
        },
        {
            "sites": "site",
            "places": "place site",
            "ends": "path_end site",
            "organs": "organ",
            "cases": "case slice",
        },
        ("cut", "draws", "score"),
        {"ends": "sites"},
    )

    @property
    def dice_lost(self) -> DataArray:
        """Dice of the whole network minus Dice of the cut one, in [-1, 1]; site, organ, slice."""
        cut = self.data["dice"]
        return self.data["whole_dice"].broadcast_like(cut) - cut

    @property
    def score_lost(self) -> DataArray:
        """The same of the score, in units of φ."""
        cut = self.data["scores"]
        return self.data["whole_score"].broadcast_like(cut) - cut

    @property
    def all_lost(self) -> DataArray:
        """Bool, site x organ: the cut leaves nothing of the organ: Dice lost is at its end."""
        nothing = (self.data["dice"] == 0) | self.data["dice"].isnull()
        return nothing.all("slice") & (self.data["whole_dice"] > 0).any("slice")

    @cached_property
    def lost(self) -> Dataset:
        """Dice lost over cases, site x organ: ``mean``, ``low``, ``high`` and ``cases``.

        Each case gives the mean of its slices that hold the organ. Where all is lost there is no
        interval: none of what was there could be lost more.
        """
        found = intervals(self.dice_lost, within=(-1.0, 1.0))
        return found.assign({end: found[end].where(~self.all_lost) for end in ("low", "high")})

    @cached_property
    def whole_dice(self) -> DataArray:
        """Of each organ: Dice of the whole network, mean over the cases that hold the organ."""
        return intervals(self.data["whole_dice"])["mean"]

    def __repr__(self) -> str:
        """One line, and of which organs the numbers say nothing."""
        size = self.data.sizes
        words = (f"Necessity: {size['site']} sites x {size['organ']} organs x {size['slice']} "
                 f"slices, cut: {self.data.attrs['cut']}")  # fmt: skip
        if lost := self.not_found:
            words += (f"; nothing can be lost of {', '.join(lost)}, whose Dice is 0 before any "
                      "cut: a loss of 0 says nothing")  # fmt: skip
        return words

    @property
    def not_found(self) -> list[str]:
        """Organs whose Dice is 0 before anything is cut: there is nothing to lose."""
        whole = self.data["whole_dice"]
        return names_along(whole.organ[(whole.fillna(0.0) == 0).all("slice")], "organ")

    def to_plain(self) -> dict[str, Any]:
        """Plain values and tensors, for a checkpoint."""
        plain = super().to_plain()
        return plain | {"whole": {name: plain.pop(f"whole_{name}") for name in ("dice", "score")}}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: numbers that do not fit their names.
        """
        flat = {name: values for name, values in plain.items() if name != "whole"}
        whole = {f"whole_{name}": values for name, values in plain["whole"].items()}
        return super().from_plain(flat | whole)


@guards.held(batch=guards.optional(guards.a_count))
def necessity(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, OrganLike],
    baselines: Baselines | None = None,
    *,
    cases: Sequence[str] | None = None,
    cut: str = "channel_mean",
    draws: int = 5,
    seed: int = 0,
    score: str = "logit",
    batch: int | None = None,
    output: Output | None = None,
    activation: str | None = None,
    progress: OnProgress | None = None,
) -> Necessity:
    """Cut every site in turn; one forward pass a site, of what lies behind the site.

    The network is left as it was: hooks, flags, buffers, random state.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through.
        sites: see :func:`segtrace.network.sites.sites_of`.
        images: (N, C, *image) preprocessed slices.
        truth: (N, *image) label map, or masks (N, C, *image); see
            :func:`segtrace.attribution.targets.organs`.
        channels: organ -> channel; as there.
        baselines: stored means over training slices, for ``channel_mean`` and ``mean_map``.
        cases: name of each slice's case; by default every slice is one of its own.
        cut: what stands in the place of an activation, see
            :data:`segtrace.causal.replacement.CUTS`.
        draws: other slices per slice, for ``resample``. Keeps the activations of all slices at
            all sites in main memory: 17 MB a slice of 128² for FlexibleUNet-ResNet-18.
        seed: of the draws.
        score: φ, a key of :data:`segtrace.attribution.forward.SCORES`.
        batch: slices per pass, by default 8, or one volume; halves when memory runs out.
        output: picks the logits from what the network returns.
        activation: ``softmax`` or ``sigmoid``; ``None`` where the number of channels says it.
        progress: called with an estimate before the start and after every pass.

    Raises:
        InputError: an unknown cut; baselines that are missing or of another network; an organ
            that is in none of the slices; a single slice to resample; an edge that carries
            something else than it says.
    """
    net = unwrapped(net)
    names = tuple(cases) if cases is not None else tuple(str(n) for n in range(len(images)))
    _check(sites, images, names)
    draws = draws if cut == "resample" else 1
    batch = per_pass(images, SLICES, batch)
    x = as_input(net, images)
    with undisturbed(net, x.device), torch.no_grad():
        judge = Judge.at(net, x, channels, truth, score, activation, output).checked()
        sites = settled(net, sites, x)
        timetable = Timetable.of(net, x[:1])
        wiring = Wiring.of(net, sites, x[:1], output)
        replacement = replacing(net, sites, x, names, cut, baselines, draws, seed, output)
        clock = Clock(len(x) * len(sites) * draws, seconds_per_slice(net, x[:batch]), progress)

        def cut_all(part: slice) -> tuple[Outcome, list[Outcome]]:
            cached = CachedForward.of(net, x[part], timetable, sites, output)
            whole, found = judge.whole(cached.logits, part), []
            for site in sites:
                found.append(_cut(cached, site, replacement, judge, part, draws))
                clock.step(len(cached.x) * draws)
            return whole, found

        parts = [result for _, result in Batches(batch).over(len(x), cut_all)]
    whole, cuts = _joined([whole for whole, _ in parts]), [found for _, found in parts]
    return Necessity.of(
        sites=[site.name for site in sites],
        places=["stage" if isinstance(site, Stage) else "edge" for site in sites],
        organs=channels,
        cases=names,
        cut=cut,
        draws=draws,
        score=score,
        cut_vertex=wiring.cut_vertices,
        ends=wiring.path_ends,
        whole_dice=whole.dice,
        whole_score=whole.score,
        dice=torch.cat([torch.stack([o.dice for o in found]) for found in cuts], 2),
        scores=torch.cat([torch.stack([o.score for o in found]) for found in cuts], 2),
    )


def _check(sites: Sequence[Site], images: Tensor, cases: Sequence[str]) -> None:
    if len(cases) != len(images):
        raise InputError(f"{len(cases)} cases are named for {len(images)} slices; name one each")


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        torch.cat([outcome.dice for outcome in outcomes], 1),
        torch.cat([outcome.score for outcome in outcomes], 1),
    )


def _cut(
    cached: CachedForward,
    site: Site,
    replacement: Replacement,
    judge: Judge,
    part: slice,
    draws: int,
) -> Outcome:
    """The mean outcome over the draws."""
    found = []
    for draw in range(draws):
        with edit(cached.net, {site: _edit(site, replacement, part, draw)}):
            found.append(judge.of(cached.run(site), part))
    return Outcome(
        torch.stack([outcome.dice for outcome in found]).mean(0),
        torch.stack([outcome.score for outcome in found]).mean(0),
    )


def _edit(site: Site, replacement: Replacement, part: slice, draw: int) -> Edit:
    return lambda activation: replacement(site.name, activation, part, draw)
