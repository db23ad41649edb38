"""Pages of volumes: all planes in three views, beside the numbers of the volumes."""

import numpy as np
import pytest
import torch
from torch import nn

import segtrace
from helpers.pages import read_page, unpacked
from segtrace.report.page import in_planes
from segtrace.report.page.in_planes import Shown
from segtrace.tracking.explained import Settings

SIZE = (6, 10, 8)
ORGANS = {"a": 1, "b": 2}


class Batches(list):
    axcodes = "SPL"


def loader():
    """Two volumes of two cases, planes from the feet up."""
    generator = torch.Generator().manual_seed(0)
    label = torch.zeros(2, *SIZE, dtype=torch.long)
    label[:, 1:4, 2:5, 1:4], label[:, 2:6, 6:9, 4:7] = 1, 2
    image = label[:, None] / 2 + 0.3 * torch.rand(2, 1, *SIZE, generator=generator)
    return Batches([{"image": image, "label": label, "case": ["p", "q"], "slice": [0, 0]}])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What is explained, and the folder."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv3d(6, 3, 1)).eval()
    out = tmp_path_factory.mktemp("volumes") / "out"
    settings = Settings(["seg_grad_cam", "grad_pam"], region="gt")
    stages = {"enc": "1", "head": "2"}
    return segtrace.explain(net, loader(), stages, ORGANS, out, slices=2, settings=settings), out


VIEWS = {"index.html": (0, "axial plane", "APRL", False),
         "coronal.html": (1, "coronal plane", "SIRL", True),
         "sagittal.html": (2, "sagittal plane", "SIAP", True)}  # fmt: skip


@pytest.mark.parametrize("file", VIEWS)
def test_a_page_holds_every_plane_with_the_numbers_of_its_volume(told, file):
    (explained, out), (axis, name, ends, upside) = told, VIEWS[file]
    flow, data = explained.record.flow, read_page(out / file)
    planes = SIZE[axis]
    assert data["cases"] == ["p, volume 0"] * planes + ["q, volume 0"] * planes
    assert data["slices"] == [*range(planes)] * 2
    assert (data["plane"], "".join(data["ends"])) == (name, ends)
    assert data["views"] == {"axial": "index.html", "coronal": "coronal.html",
                             "sagittal": "sagittal.html"}  # fmt: skip
    rows, columns = (side for a, side in enumerate(SIZE) if a != axis)
    assert (data["size"], data["crop"]) == ([rows, columns], [0, 0, rows, columns])
    truth = unpacked(data["truth"], "u1", 2 * planes, rows, columns)
    expected = explained.record.scene.truth.numpy()
    turned = expected[:, ::-1] if upside else expected  # superior is up
    assert np.array_equal(truth, np.moveaxis(turned, axis + 1, 1).reshape(truth.shape))
    (frame,) = data["frames"]
    gains = unpacked(frame["numbers"]["gain"], "<f4", 2, 2, 2, 2 * planes)
    whole = explained.measures["gain"].values.astype("f4")
    np.testing.assert_array_equal(gains, whole.repeat(planes, -1))
    status = unpacked(frame["status"], "i1", 2, 2, 2, 2 * planes)
    levels = unpacked(frame["maps"]["enc"], "u1", -1, rows, columns)
    assert len(levels) == (status[0] == 0).sum()
    sound = flow.maps["enc"][0, 0, 0].relu()
    of_volume = sound / sound.max() * 255  # of the volume's maximum, not of each plane's
    turned = of_volume.flip(0) if upside else of_volume
    np.testing.assert_allclose(levels[:planes], np.moveaxis(turned.numpy(), axis, 0), atol=0.51)
    assert levels[:planes].max() == 255
    assert "2 volumes of 2 cases" in frame["network"][0][0]


def test_of_large_volumes_every_second_plane_is_left_out(told, monkeypatch):
    record = told[0].record
    monkeypatch.setattr(in_planes, "MOST_VOXELS", 2 * 6 * 10 * 8 // 2)
    shown = Shown.by(record)
    assert [number for _, number in shown.record.scene.planes] == [0, 2, 4] * 2
    assert shown.of == [0, 0, 0, 1, 1, 1]
    expected = record.gain[..., shown.of]
    torch.testing.assert_close(shown.record.gain, expected, rtol=0, atol=0, equal_nan=True)
