"""Patching: run on one slice with a site's activation from another.

Necessity takes away; patching carries over. If slice b, given nothing of slice a but what passes
one edge, shows a's organ where a has it, then that edge carries where the organ is: :func:`carry`
asks this of every edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.causal import guards
from segtrace.causal.batches import SLICES, Batches
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import donors
from segtrace.errors import InputError
from segtrace.measures.over_cases import OverCases, over_cases
from segtrace.network.hooks import edit, see
from segtrace.network.joints import settled
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

LEAST_TO_GAIN = 0.02
"""Below this difference of Dice between a's own slice and b's there is nothing to carry over."""


@dataclass(frozen=True)
class Patched:
    """How much of a's organs came along to b. O organs, N pairs of slices (a, b).

    Attributes:
        organs: names along O.
        own: (O, N) Dice of the network on a with a's truth: what could come along at most.
        before: (O, N) Dice of the network on b with a's truth.
        after: (O, N) the same with a's activation at the sites.
        kept: (O, N) Dice of that prediction with b's truth.
    """

    organs: tuple[str, ...]
    own: Tensor
    before: Tensor
    after: Tensor
    kept: Tensor

    def came_along(self) -> Tensor:
        """(O, N) (after - before) / (own - before): 0 nothing, 1 all of it.

        NaN where a lacks the organ, or where b shows it as well as a does.
        """
        room = self.own - self.before
        return torch.where(room >= LEAST_TO_GAIN, (self.after - self.before) / room, torch.nan)


@guards.held()
def patch(
    net: nn.Module,
    sites: Sequence[Site],
    giving: tuple[Tensor, Tensor],
    taking: tuple[Tensor, Tensor],
    channels: Mapping[str, int],
    *,
    absent: bool = False,
    output: Output | None = None,
) -> Patched:
    """Run slices b with the activations of slices a at some sites, all at once.

    Args:
        net: the network.
        sites: what is carried over from a to b.
        giving: images (N, C, *image) and truth (N, *image) of slices a.
        taking: the same of slices b, one for each.
        channels: organ -> channel.
        absent: whether organs that no slice a holds are let pass, as NaN.
        output: picks the logits from what the network returns.

    Raises:
        InputError: no site; slices that do not pair; an organ that no slice a holds.
    """
    net = unwrapped(net)
    if giving[0].shape != taking[0].shape:
        raise InputError(
            f"slices {tuple(giving[0].shape)} cannot be patched into {tuple(taking[0].shape)}; "
            "give as many of the same size"
        )
    of_a = Judge(channels, giving[1])
    if not absent:
        of_a.checked(giving[0])
    a, b = as_input(net, giving[0]), as_input(net, taking[0])
    with undisturbed(net, a.device), torch.no_grad():
        sites = settled(net, sites, a)
        seen = see(net, sites, a, output)
        clean = logits_at(net, b, output)
        stand = {site: (lambda _, name=site.name: seen.activations[name]) for site in sites}
        with edit(net, stand):
            patched = logits_at(net, b, output)
    return Patched(
        organs=tuple(channels),
        own=of_a.whole(seen.logits).dice,
        before=of_a.whole(clean).dice,
        after=of_a.of(patched).dice,
        kept=Judge(channels, taking[1]).of(patched).dice,
    )


@dataclass(frozen=True)
class Carried:
    """What came along over each site alone. S sites, O organs, N giving slices.

    Attributes:
        sites: names along S.
        organs: names along O.
        cases: case of each giving slice, along N.
        onto: number of the slice that took, along N: of another case, where there is one.
        before: (O, N) Dice of the taking slice, as it is, with the giving slice's truth.
        after: (S, O, N) the same with the giving slice's activation at the site.
        came_along: (S, O, N) part of the giving slice's Dice that came along, see
            :meth:`segtrace.causal.patching.Patched.came_along`.
    """

    sites: tuple[str, ...]
    organs: tuple[str, ...]
    cases: tuple[str, ...]
    onto: tuple[int, ...]
    before: Tensor
    after: Tensor
    came_along: Tensor

    def over_cases(self) -> OverCases:
        """(S, O) part that came along, over the cases that have something to give."""
        return over_cases(self.came_along, self.cases)

    def mean(self) -> Tensor:
        """(S, O) over those cases; NaN where none has anything to give."""
        return self.over_cases().mean

    def rows(self) -> list[dict[str, Any]]:
        """One row a site, organ and pair of slices, for a CSV."""
        return [
            {
                "site": site,
                "organ": organ,
                "case": self.cases[n],
                "number": n,
                "onto": self.onto[n],
                "dice_before": float(self.before[o, n]),
                "dice_after": float(self.after[s, o, n]),
                "came_along": float(self.came_along[s, o, n]),
            }
            for s, site in enumerate(self.sites)
            for o, organ in enumerate(self.organs)
            for n in range(len(self.cases))
        ]


@guards.held(guards.aligned, cases=guards.names)
def carry(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, int],
    *,
    cases: Sequence[str],
    seed: int = 0,
    batch: int = SLICES,
    output: Output | None = None,
) -> Carried:
    """Give every slice's activation, one site at a time, to a slice of another case.

    Args:
        net: the network.
        sites: stages or edges; each is carried over alone.
        images: (N, C, *image).
        truth: (N, *image) label map.
        channels: organ -> channel.
        cases: name of each slice's case.
        seed: of the draw of who takes.
        batch: slices per pass; halves when memory runs out.
        output: picks the logits from what the network returns.

    Raises:
        InputError: a single slice; an organ that is in none of the slices.
    """
    Judge(channels, truth).checked(images)
    onto = donors(cases, 1, seed)[0]

    def carried(site: Site) -> Patched:
        def of(part: slice) -> Patched:
            giving, taking = (images[part], truth[part]), (images[onto[part]], truth[onto[part]])
            return patch(net, [site], giving, taking, channels, output=output, absent=True)

        parts = [found for _, found in Batches(batch).over(len(images), of)]
        joined = (
            torch.cat([getattr(p, name) for p in parts], 1)
            for name in ("own", "before", "after", "kept")
        )
        return Patched(tuple(channels), *joined)

    found = [carried(site) for site in sites]
    return Carried(
        sites=tuple(site.name for site in sites),
        organs=tuple(channels),
        cases=tuple(cases),
        onto=tuple(onto.tolist()),
        before=found[0].before,
        after=torch.stack([p.after for p in found]),
        came_along=torch.stack([p.came_along() for p in found]),
    )
