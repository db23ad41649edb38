"""Patching: run on one slice with a site's activation from another.

Necessity takes away; patching carries over. If slice b, given nothing of slice a but what passes
one edge, shows a's organ where a has it, then that edge carries where the organ is: :func:`carry`
asks this of every edge.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution.forward import Output
from segtrace.causal import guards
from segtrace.causal.batches import SLICES, Batches
from segtrace.causal.outcome import Judge
from segtrace.causal.replacement import donors
from segtrace.errors import InputError
from segtrace.labelled import Dataset, Form, rows
from segtrace.network.hooks import edit, observe
from segtrace.network.joints import settled
from segtrace.network.logits import logits_at
from segtrace.network.sites import Site
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

LEAST_TO_GAIN = 0.02
"""Below this difference of Dice between a's own slice and b's there is nothing to carry over."""


PATCHED = Form(
    dict.fromkeys(("own", "before", "after", "kept", "came_along"), "organ slice"),
    {"organs": "organ"},
)
CARRIED = ("site", "organ", "case", "number", "onto", "dice_before", "dice_after", "came_along")
"""Of a row a site, organ and pair of slices."""


def came_along(own: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """How much of an organ a patched activation brings along: (after - before) / (own - before).

    Slice b runs with activations of slice a; all are Dice against a's truth.

    Args:
        own: (…) of a, as it is.
        before: (…) of b, as it is.
        after: (…) of b with a's activation.

    Returns:
        (…), 0 nothing, 1 all of it, and beyond where b then does worse, or better than a; NaN where
        own - before < :data:`LEAST_TO_GAIN`: a lacks the organ, or b shows it as well as a does.
    """
    room = own - before
    return torch.where(room >= LEAST_TO_GAIN, (after - before) / room, torch.nan)


@guards.held()
def patch(
    net: nn.Module,
    sites: Sequence[Site],
    giving: tuple[Tensor, Tensor],
    taking: tuple[Tensor, Tensor],
    channels: Mapping[str, OrganLike],
    *,
    absent: bool = False,
    output: Output | None = None,
    activation: str | None = None,
) -> Dataset:
    """Run slices b with the activations of slices a at some sites, all at once.

    Args:
        net: the network.
        sites: what is carried over from a to b.
        giving: images (N, C, *image) and truth of slices a, a label map (N, *image) or masks.
        taking: the same of slices b, one for each.
        channels: organ -> channel.
        absent: whether organs that no slice a holds are let pass, as NaN.
        output: picks the logits from what the network returns.
        activation: of the logits; ``None`` where the number of channels says it.

    Returns:
        How much of a's organs came along to b, axes organ and slice (pairs of slices). ``own``:
        Dice of the network on a with a's truth, what could come along at most. ``before``: on b
        with a's truth. ``after``: the same with a's activation at the sites. ``kept``: Dice of
        that prediction with b's truth. ``came_along``: see :func:`came_along`.

    Raises:
        InputError: no site; slices that do not pair; an organ that no slice a holds.
    """
    net = unwrapped(net)
    if giving[0].shape != taking[0].shape:
        raise InputError(
            f"slices {tuple(giving[0].shape)} cannot be patched into {tuple(taking[0].shape)}; "
            "give as many of the same size"
        )
    a, b = as_input(net, giving[0]), as_input(net, taking[0])
    with undisturbed(net, a.device), torch.no_grad():
        of_a, of_b = (
            Judge.at(net, a, channels, truth, "logit", activation, output)
            for truth in (giving[1], taking[1])
        )
        if not absent:
            of_a.checked()
        sites = settled(net, sites, a)
        seen = observe(net, sites, a, output)
        clean = logits_at(net, b, output)
        stand = {site: (lambda _, name=site.name: seen.activations[name]) for site in sites}
        with edit(net, stand):
            patched = logits_at(net, b, output)
    own, before, after, kept = (
        of_a.whole(seen.logits).dice,
        of_a.whole(clean).dice,
        of_a.of(patched).dice,
        of_b.of(patched).dice,
    )
    numbers = {"own": own, "before": before, "after": after, "kept": kept}
    numbers["came_along"] = came_along(own, before, after)
    return PATCHED.dataset({**numbers, "organs": channels})


@guards.held(guards.aligned, cases=guards.names)
def carry(
    net: nn.Module,
    sites: Sequence[Site],
    images: Tensor,
    truth: Tensor,
    channels: Mapping[str, OrganLike],
    *,
    cases: Sequence[str],
    seed: int = 0,
    batch: int = SLICES,
    output: Output | None = None,
    activation: str | None = None,
) -> Dataset:
    """Give every slice's activation, one site at a time, to a slice of another case.

    Args:
        net: the network.
        sites: stages or edges; each is carried over alone.
        images: (N, C, *image).
        truth: (N, *image) label map, or masks (N, C, *image).
        channels: organ -> channel.
        cases: name of each slice's case.
        seed: of the draw of who takes.
        batch: slices per pass; halves when memory runs out.
        output: picks the logits from what the network returns.
        activation: of the logits; ``None`` where the number of channels says it.

    Returns:
        As of :func:`patch`, for each site alone: axes site, organ and slice (that gives); beside it
        its ``case``, and ``onto``, the number of the slice that took, of another case, where there
        is one.

    Raises:
        InputError: a single slice; an organ that is in none of the slices.
    """
    import xarray as xr

    net = unwrapped(net)
    x = as_input(net, images)
    with undisturbed(net, x.device):
        judge = Judge.at(net, x, channels, truth, "logit", activation, output).checked()
    organs, truth, known = judge.organs, judge.truth, judge.activation
    onto = donors(cases, 1, seed)[0]

    def carried(site: Site) -> Dataset:
        def of(part: slice) -> Dataset:
            giving, taking = (images[part], truth[part]), (images[onto[part]], truth[onto[part]])
            return patch(
                net, [site], giving, taking, organs, output=output, activation=known, absent=True
            )

        return xr.concat([found for _, found in Batches(batch).over(len(images), of)], "slice")

    found = xr.concat([carried(site) for site in sites], "site")
    names = {"site": [site.name for site in sites], "case": ("slice", list(cases))}
    return found.assign_coords(names).assign_coords(onto=("slice", onto))


def carried_rows(carried: Dataset) -> list[dict[str, Any]]:
    """One row a site, organ and pair of slices, for a CSV."""
    shown = carried.rename(before="dice_before", after="dice_after")
    along = ("site", "organ", "slice")
    return rows(shown.assign(number=carried["slice"]), along, CARRIED)
