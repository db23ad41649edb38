"""Small flows for the tests of the measures."""

from collections.abc import Mapping

import torch
from torch import Tensor

from segtrace.attribution.flow import Flow, Status


def flow_of(
    maps: Mapping[str, Tensor],
    masks: Tensor,
    status: Tensor | None = None,
    organs: tuple[str, ...] | None = None,
) -> Flow:
    """A flow around maps stage -> (R, O, N, *cells), with masks (O, N, *image) as its regions."""
    first = next(iter(maps.values()))
    rules, count, slices = first.shape[:3]
    stages = len(maps)
    if status is None:
        status = torch.zeros(stages, rules, count, slices, dtype=torch.int8)
        for s, signed in enumerate(maps.values()):
            status[s][(signed <= 0).flatten(3).all(-1)] = Status.DEAD
            status[s][:, ~masks.flatten(2).any(-1)] = Status.ABSENT
    return Flow(
        maps=dict(maps),
        kappa=torch.full((stages, count, slices), 0.5),
        gradient_l1=torch.full((stages, count, slices), 10.0),
        status=status,
        scores=torch.full((count, slices), 6.0),
        region_px=masks.flatten(2).sum(-1),
        prediction=torch.zeros(masks.shape[1:], dtype=torch.long),
        rules=tuple(f"rule{r}" for r in range(rules)),
        organs=organs or tuple(f"organ{o}" for o in range(count)),
        score="logit",
    )
