"""Patching: run on one slice with a site's activation from another.

Necessity takes away; patching carries over. If slice b, given nothing of slice a but what passes
one edge, shows a's organ where a has it, then that edge carries where the organ is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.attribution.forward import Output
from segtrace.attribution.hooks import edit, see
from segtrace.attribution.joints import settled
from segtrace.attribution.logits import logits_at
from segtrace.attribution.sites import Site
from segtrace.attribution.undisturbed import as_input, undisturbed, unwrapped
from segtrace.causal import guards
from segtrace.causal.outcome import Judge
from segtrace.errors import InputError

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
