"""Explained epochs whose numbers are known by hand."""

import torch

from segtrace.attribution.flow import Flow
from segtrace.attribution.rules import by_name
from segtrace.measures.localisation import measure
from segtrace.report.record import Record
from segtrace.report.scene import Scene
from segtrace.tracking.explained import Explained

CHANNELS = {"left": 1, "right": 2}


def labels(slices=4):
    """(N, 16, 16): two organs of 4 x 4 far from one another, a row lower from case to case."""
    made = torch.zeros(slices, 16, 16, dtype=torch.long)
    for n in range(slices):
        top = 2 + n // 2 % 3
        made[n, top : top + 4, 1:5] = 1
        made[n, top : top + 4, 11:15] = 2
    return made


def explained(epoch, sharpness, leak=0.0, slices=4):
    """Stages dec1 and head, rule grad_pam.

    Maps of dec1: ``sharpness`` of them on the organ, the rest everywhere, so that this is their
    gain; but ``leak`` of the map of ``left`` lies on ``right``. Maps of head: on the organ alone.
    """
    truth = labels(slices)
    masks = torch.stack([truth == channel for channel in CHANNELS.values()])  # (O, N, H, W)
    perfect = masks / masks.sum((-2, -1), keepdim=True)
    everywhere = torch.full_like(perfect, 1 / 256)
    maps = sharpness * perfect + (1 - sharpness) * everywhere
    maps[0] = (1 - leak) * maps[0] + leak * perfect[1]
    status = torch.zeros(2, 1, 2, slices, dtype=torch.int8)
    flow = Flow(
        maps={"dec1": maps[None].float(), "head": perfect[None].float()},
        kappa=torch.full((2, 2, slices), 0.5),
        gradient_l1=torch.ones(2, 2, slices),
        status=status,
        scores=torch.ones(2, slices),
        region_px=masks.sum((-2, -1)),
        prediction=truth,
        rules=("grad_pam",),
        methods=by_name(("grad_pam",)),
        organs=tuple(CHANNELS),
        score="logit",
    )
    cases = tuple("abcdefgh"[n // 2] for n in range(slices))
    scene = Scene(torch.zeros(slices, 1, 16, 16), cases, tuple(range(slices)), CHANNELS, truth)
    return Explained(Record(flow, scene, "gt", epoch), measure(flow, masks))
