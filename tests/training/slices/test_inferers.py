"""MONAI's sliding window: which windows it takes, and what is refused."""

import numpy as np
import pytest
import torch
from monai.inferers import SliceInferer, SlidingWindowInferer
from monai.networks.nets import BasicUNet

import segtrace
from segtrace import InputError
from segtrace.attribution.flow import Status
from segtrace.tracking.explained import Settings
from segtrace.training.slices.inferers import SlidingWindow

ORGANS = {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("image", "roi", "options"),
    [
        ((20, 13, 9), (8, 8, 8), {"overlap": 0.25}),
        ((20, 13, 9), (8, 8, 8), {"overlap": (0.5, 0.1, 0.9), "mode": "gaussian"}),
        ((5, 13, 9), (8, 8, -1), {"padding_mode": "reflect"}),
        ((6, 7, 5), 9, {"cval": 2.0, "mode": "gaussian", "sw_batch_size": 3}),
        ((12, 9), (8, 4), {"mode": "gaussian", "cache_roi_weight_map": True}),
    ],
)
def test_windows_are_those_that_the_inferer_sends_through(image, roi, options):
    inferer, sent = SlidingWindowInferer(roi, **options), []
    x = torch.rand(1, 1, *image)

    def predict(part):
        sent.extend(part)
        return part * torch.arange(1.0, part[0].numel() + 1).reshape(part.shape[1:])

    stitched = inferer(x, predict)
    windows = SlidingWindow.of(inferer).windows(image)
    mine = [windows.of(x, start)[0] for start in windows.starts]
    assert len(mine) == len(sent)
    assert all(map(torch.equal, mine, sent))
    total, count = torch.zeros(2, 1, *(max(one) for one in zip(image, windows.size, strict=True)))
    ahead = [-min(at) for at in zip(*windows.starts, strict=True)]
    for start, own in zip(windows.starts, mine, strict=True):
        begin = [at + less for at, less in zip(start, ahead, strict=True)]
        place = tuple(slice(at, at + side) for at, side in zip(begin, windows.size, strict=True))
        total[:, *place] += windows.weights * predict(own[None])[0]
        count[:, *place] += windows.weights
    inside = tuple(slice(less, less + side) for less, side in zip(ahead, image, strict=True))
    torch.testing.assert_close(stitched[0], (total / count)[:, *inside])


def batches():
    generator = torch.Generator().manual_seed(0)
    label = torch.zeros(1, 24, 40, 32, dtype=torch.long)
    label[:, 3:12, 4:18, 2:14], label[:, 10:20, 24:36, 16:30] = 1, 2
    image = label[:, None] / 2 + 0.3 * torch.rand(1, 1, 24, 40, 32, generator=generator)
    return [{"image": image, "label": label, "case": ["p"], "slice": [0]}]


def test_a_volume_larger_than_the_window_is_explained_measured_and_shown(tmp_path, capsys):
    torch.manual_seed(0)
    net = BasicUNet(3, 1, 3, (4, 4, 8, 8, 8, 4), norm="batch").eval()
    inferer = SlidingWindowInferer((16, 32, 32), overlap=0.5, mode="gaussian")
    settings = Settings(["seg_grad_cam", "grad_pam"], measures="all")
    found = segtrace.explain(net, batches(), None, ORGANS, tmp_path / "out", settings=settings,
                             inferer=inferer)  # fmt: skip
    with torch.no_grad():
        stitched = inferer(batches()[0]["image"], net)
    flow = found.record.flow
    assert torch.equal(flow.prediction, stitched.argmax(1))
    sizes = {name: tuple(maps.shape[3:]) for name, maps in flow.maps.items()}
    assert sizes["enc1"] == (24, 40, 32)
    assert sizes["enc2"] == (12, 20, 16)
    assert sizes["enc5"] == (2, 2, 2)  # cells of 16 voxels, of which 1.5, 2.5 and 2 would fit
    sound = flow.status.numpy() == Status.OK
    assert sound.mean() > 0.5
    assert np.isfinite(found.measures["gain"].values[sound]).all()
    assert (tmp_path / "out" / "index.html").is_file()
    said = capsys.readouterr().out  # all windows once more for each part of the error, and told so
    told = ("Predicting", "Maps of false positives", "Maps of false negatives")
    first, positives, negatives = map(said.index, told)
    assert first < positives < negatives < said.rindex("Predicting")
    whole = segtrace.explain(net, batches(), None, ORGANS, settings=settings, window=(24, 40, 32))
    plain = segtrace.explain(net, batches(), None, ORGANS, settings=settings)
    assert whole.measures.equals(plain.measures)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"window": (8, 8, 8), "inferer": SlidingWindowInferer(8)}, "leave window out"),
        ({"window": (8, 0, 8)}, "window is .*voxels along each axis"),
        ({"window": "8"}, "voxels along each axis"),
        ({"window": (8, 8)}, "for images of 2 axes; these have 3"),
        ({"inferer": 8}, "a SlidingWindowInferer of monai.inferers"),
        ({"inferer": SliceInferer(roi_size=(8, 8))}, "a SlidingWindowInferer of"),
        ({"inferer": SlidingWindowInferer(8, with_coord=True)}, "with_coord=True"),
        ({"window": 8, "preprocessing": {"percentile": [1, 99]}}, "each window's own"),
    ],
)
def test_what_cannot_be_gone_through_is_refused(asked, said):
    net = BasicUNet(3, 1, 3, (4, 4, 8, 8, 8, 4), norm="batch").eval()
    with pytest.raises(InputError, match=said):
        segtrace.explain(net, batches(), None, ORGANS, **asked)
