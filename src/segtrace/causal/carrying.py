"""How much of an organ each edge carries from slice to slice: patching, edge by edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.attribution.sites import Site
from segtrace.causal import guards
from segtrace.causal.batches import SLICES, Batches
from segtrace.causal.outcome import Judge
from segtrace.causal.patching import Patched, patch
from segtrace.causal.replacement import donors
from segtrace.measures.over_cases import OverCases, over_cases


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
