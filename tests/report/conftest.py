"""A small flow over a made-up slice: two organs, three stages, one map unsound."""

import pytest
import torch

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import by_name
from segtrace.report.record import Record
from segtrace.report.scene import Scene

SIDE = 32
ORGANS = ("left_kidney", "liver", "spleen")
STAGES = {"enc1": 16, "enc2": 4, "head": 32}


def _labels() -> torch.Tensor:
    labels = torch.zeros(3, SIDE, SIDE, dtype=torch.long)
    labels[0, 18:24, 20:26] = 1
    labels[1, 18:22, 20:24] = 1
    labels[:2, 6:20, 3:14] = 2
    return labels


@pytest.fixture
def flow() -> Flow:
    """Rules seg_grad_cam and grad_pam; the spleen is nowhere; head of the liver is degenerate."""
    generator = torch.Generator().manual_seed(0)
    labels = _labels()
    maps = {
        stage: torch.randn(2, 3, 3, side, side, generator=generator)
        for stage, side in STAGES.items()
    }
    area = torch.stack([(labels == c).sum((1, 2)) for c in (1, 2, 3)])
    status = torch.zeros(3, 2, 3, 3, dtype=torch.int8)
    status[:, :, area == 0] = Status.ABSENT
    status[2, 0, 1, :2] = Status.GAP_DEGENERATE
    return Flow(
        maps=maps,
        kappa=torch.rand(3, 3, 3, generator=generator),
        gradient_l1=torch.rand(3, 3, 3, generator=generator, dtype=torch.float64),
        status=status,
        scores=torch.randn(3, 3, generator=generator),
        region_px=area,
        prediction=labels.roll(1, 2),
        rules=("seg_grad_cam", "grad_pam"),
        methods=by_name(("seg_grad_cam", "grad_pam")),
        organs=ORGANS,
        score="logit",
    )


@pytest.fixture
def scene() -> Scene:
    """Three slices of a phantom with ground truth."""
    ramp = torch.linspace(0, 1, SIDE).expand(3, 1, SIDE, SIDE).clone()
    return Scene(
        image=ramp,
        cases=("img0001", "img0001", "img0002"),
        slices=(11, 12, 5),
        channels={"left_kidney": 1, "liver": 2, "spleen": 3},
        truth=_labels(),
        phantom=True,
        sides_known=True,
        hounsfield_known=True,
    )


@pytest.fixture
def record(flow: Flow, scene: Scene) -> Record:
    """The flow of epoch 7, explained on the ground truth."""
    return Record(flow, scene, "gt", 7)
