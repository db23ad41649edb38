"""What a stage holds where: swap the activations there for those of the image's twin."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from segtrace.attribution.flow import INPUT
from segtrace.attribution.passes import SLICES_ON_CPU
from segtrace.measures.resize import pooled
from segtrace.network.hooks import Edit, edit
from segtrace.network.sites import Site
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import as_input, undisturbed
from segtrace.planted.network import PlantedSlices, twins

AROUND = 2
"""Pixels around a mark that count as its place."""


def held_at_mark(
    net: nn.Module, stages: Sequence[Stage], slices: PlantedSlices
) -> dict[str, tuple[Tensor, Tensor]]:
    """Stage -> margin lost by swapping the mark's cells, and by swapping all; (N,) each.

    At :data:`INPUT` that is all of it: twins differ in the marks alone.
    """
    x = as_input(net, slices.images)
    near = functional.max_pool2d(slices.evidence[:, None].float(), 2 * AROUND + 1, 1, AROUND)
    batch = 2 * SLICES_ON_CPU  # an even number keeps twins together

    def margins(stage: Stage | None) -> Tensor:
        parts = []
        for part, places in zip(x.split(batch), near.split(batch), strict=True):
            edits: dict[Site, Edit] = {} if stage is None else {stage: _swap(places)}
            with edit(net, edits):
                parts.append(net(part).cpu())
        return slices.margin(torch.cat(parts))

    with undisturbed(net, x.device), torch.no_grad():
        whole = margins(None)
        # The twin's own margin is of the other class: from this slice's side it is the negative.
        total = whole + twins(whole)
        found = {stage.name: (whole - margins(stage), total) for stage in stages}
        return {INPUT: (total, total), **found}


def _swap(places: Tensor) -> Edit:
    """The edit that takes the twin's activation in the cells that hold a pixel of the places."""

    def swapped(activation: Tensor) -> Tensor:
        grid = (activation.shape[-2], activation.shape[-1])
        inside = pooled(places.to(activation), grid) > 0  # (n, 1, h, w)
        return torch.where(inside, twins(activation), activation)

    return swapped
