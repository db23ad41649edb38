"""Traces of windows against traces of each, stitched by hand; and of one window against none."""

from dataclasses import fields
from itertools import product

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

import segtrace
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.attribution.rules import Rule, element_wise
from segtrace.attribution.sliding.traced import trace_windows
from segtrace.training.slices.inferers import SlidingWindow

STAGES = {"enc": "1", "deep": "4", "head": "6"}
RULES = ("seg_grad_cam", "grad_pam")
SIZE, ROI = (10, 12, 8), (8, 8, 8)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 6, 3, padding=1),
        nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv3d(6, 3, 1),
    ).eval()  # fmt: skip


def volumes(count=1):
    generator = torch.Generator().manual_seed(1)
    truth = torch.zeros(count, *SIZE, dtype=torch.long)
    truth[:, 1:4, 2:5, 1:5], truth[:, 5:10, 6:12, 3:7] = 1, 2
    return torch.rand(count, 1, *SIZE, generator=generator) + truth[:, None] / 2, truth


def sliding(roi=ROI, **options):
    return SlidingWindow.of(SlidingWindowInferer(roi, **{"overlap": 0.4, **options}))


@pytest.mark.parametrize("mode", ["constant", "gaussian"])
def test_stitched_maps_and_predictions_equal_a_loop_over_windows(mode):
    net, (x, truth), inferer = network().double(), volumes(2), sliding(mode=mode)
    x = x.double()
    organs = {"a": targets.organ(1, "gt", truth), "b": targets.organ(2, "pred")}
    flow = trace_windows(net, STAGES, x, organs, RULES, sliding=inferer)
    with torch.no_grad():
        logits = inferer.inferer(x, net)
    assert torch.equal(flow.prediction, logits.argmax(1))
    regions = {"a": truth == 1, "b": logits.argmax(1) == 2}
    weights = inferer.windows(SIZE).weights.double()
    starts = [*product((0, 2), (0, 4), (0,))]
    assert inferer.windows(SIZE).starts == tuple(starts)
    total = {name: torch.zeros_like(flow.maps[name]) for name in STAGES}
    count, l1 = torch.zeros(SIZE, dtype=torch.float64), torch.zeros_like(flow.gradient_l1)
    kappa = torch.zeros_like(l1)
    for start, n in product(starts, range(2)):
        place = tuple(slice(at, at + side) for at, side in zip(start, ROI, strict=True))
        count[place] += weights / 2  # of two volumes
        own = {}
        for c, (name, region) in enumerate(regions.items(), 1):
            own[name] = torch.zeros(1, 3, *ROI, dtype=torch.float64)
            own[name][0, c] = region[n][place]
        part = segtrace.trace(net, STAGES, x[n : n + 1, :, *place], own, RULES)
        l1[..., n] += part.gradient_l1[..., 0]
        kappa[..., n] += (part.kappa.nan_to_num() * part.gradient_l1)[..., 0]
        for stage in ("enc", "head"):  # a cell a voxel
            total[stage][:, :, n, *place] += weights * part.maps[stage][:, :, 0]
        halves = tuple(
            slice(at // 2, (at + side) // 2) for at, side in zip(start, ROI, strict=True)
        )
        pooled = nn.functional.avg_pool3d(weights[None, None], 2)[0, 0]
        total["deep"][:, :, n, *halves] += pooled * part.maps["deep"][:, :, 0]
    coarse = torch.zeros([side // 2 for side in SIZE], dtype=torch.float64)
    for start in starts:
        halves = tuple(
            slice(at // 2, (at + side) // 2) for at, side in zip(start, ROI, strict=True)
        )
        coarse[halves] += nn.functional.avg_pool3d(weights[None, None], 2)[0, 0]
    for stage, counts in {"enc": count, "head": count, "deep": coarse}.items():
        torch.testing.assert_close(flow.maps[stage], total[stage] / counts, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(flow.gradient_l1, l1)
    torch.testing.assert_close(flow.kappa, kappa / l1)
    scores = torch.stack([(logits[:, c] * region).flatten(1).sum(1)
                          for c, region in enumerate(regions.values(), 1)])  # fmt: skip
    torch.testing.assert_close(flow.scores, scores)
    assert flow.region_px.tolist() == [r.flatten(1).sum(1).tolist() for r in regions.values()]


def test_one_window_that_is_the_image_gives_the_plain_trace_to_the_bit():
    net, (x, truth) = network(), volumes(2)
    organs = targets.organs({"a": 1, "b": 2}, "gt", truth)
    whole = trace_windows(net, STAGES, x, organs, RULES, sliding=sliding(SIZE, mode="gaussian"))
    plain = segtrace.trace(net, STAGES, x, organs, RULES)
    assert all(torch.equal(whole.maps[name], plain.maps[name]) for name in STAGES)
    for one in fields(plain):
        own, other = getattr(whole, one.name), getattr(plain, one.name)
        assert torch.equal(own, other) if isinstance(own, torch.Tensor) else one.name == "maps" or (
            own == other), one.name  # fmt: skip


def test_statuses_are_of_the_whole_image():
    net, (x, truth) = network(), volumes()
    truth[truth == 2] = 0
    organs = targets.organs({"a": 1, "b": 2}, "gt", truth)
    flow = trace_windows(net, STAGES, x, organs, RULES, sliding=sliding())
    assert (flow.status[:, :, 1] == Status.ABSENT).all()
    assert (flow.status[:2, :, 0] == Status.OK).all()
    assert (flow.status[2, :, 0] == Status.DEAD).all() == (flow.maps["head"][:, 0] <= 0).all()
    assert not flow.maps["enc"][:, 1].any()
    nothing = trace_windows(net, STAGES, x, targets.organ(1, "gt", 0 * truth), sliding=sliding())
    assert (nothing.status == Status.ABSENT).all()
    with torch.no_grad():
        net[6].bias[1] = torch.nan
    lost = trace_windows(net, STAGES, x, organs, RULES, sliding=sliding())
    assert (lost.status == Status.NONFINITE).all()


class Normed(nn.Module):
    """A stage that an instance normalisation follows, and one beside the score."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv3d(1, 4, 3, padding=1), nn.InstanceNorm3d(4)
        self.b, self.head = nn.ReLU(), nn.Conv3d(4, 3, 1)

    def forward(self, x):
        return self.head(self.b(self.norm(self.a(x))))


def test_what_instance_normalisation_makes_void_is_void_stitched():
    torch.manual_seed(0)
    x, truth = volumes()
    organs = targets.organs({"a": 1}, "gt", truth)
    flow = trace_windows(Normed().eval(), {"a": "a", "b": "b"}, x, organs, RULES, sliding=sliding())
    gap, ok = int(Status.GAP_DEGENERATE), int(Status.OK)
    assert flow.status[..., 0, 0].tolist() == [[gap, ok], [ok, ok]]


def test_what_windows_cannot_do_is_said():
    net, (x, truth) = network(), volumes()
    organ = targets.organ(1, "gt", truth)
    held = Rule("mine", element_wise, reference=lambda site, activation, which: 0 * activation)
    with pytest.raises(InputError, match="'mine' holds activations against those of whole images"):
        trace_windows(net, STAGES, x, organ, [held], sliding=sliding())
    coarse = nn.Sequential(*list(net)[:5], nn.Conv3d(6, 3, 1)).eval()
    with pytest.raises(InputError, match="have 4 x 4 x 4 voxels, which are not stitched"):
        trace_windows(coarse, {"enc": "1"}, x, organ, sliding=sliding())
