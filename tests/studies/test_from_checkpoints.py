"""The course of a training from its checkpoints: what the callback left behind, once more."""

import math
import shutil
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.saving import pixels
from helpers.scripts import run_script
from segtrace import InputError
from segtrace.report.claims.leaks import Leak
from segtrace.report.figures.drawing import as_picture
from segtrace.report.figures.paper import epoch_grid
from segtrace.report.files import load_maps
from segtrace.report.tables import read_table
from segtrace.report.tensorboard import OVERVIEW_TAG
from segtrace.studies import from_checkpoints
from segtrace.studies.epoch_figures import ranks
from segtrace.studies.inputs.checkpoints import in_order

TABLES = ("measures.csv", "timeline.csv", "depth.csv", "leakage.csv", "emergence.csv",
          "estimates.csv")  # fmt: skip


@pytest.fixture(scope="module")
def told(run, tmp_path_factory):
    """explain.py over all checkpoints of the run, in another folder and process."""
    folder = tmp_path_factory.mktemp("told")
    ran = run_script(
        "explain.py",
        f"checkpoint='{run.folder}/checkpoints/epoch_*.ckpt'",
        "log_dir=logs",
        "hydra.run.dir=out",
        cwd=folder,
    )
    assert ran.code == 0, ran.err[-3000:]
    return folder


def test_the_tables_equal_those_of_the_callback_to_the_last_digit(run, told):
    for name in TABLES:
        then, now = run.folder / "flow" / name, told / "out" / name
        assert now.read_text() == then.read_text(), name


def test_timelines_leakage_and_events_equal_those_of_the_callback(run, told):
    flow = run.folder / "flow"
    files = [*flow.glob("timeline/**/*.png"), *flow.glob("epoch_*/leak/**/*.png"),
             *flow.glob("epoch_*/events/*.txt")]  # fmt: skip
    assert len(files) == 6 * 4 + 2 * 2 * 10 + 2 * 2 + 1  # with that of the estimates
    for path in files:
        again = told / "out" / path.relative_to(flow)
        assert again.read_bytes() == path.read_bytes(), path


def log_of(folder):
    everything = {"images": 0, "scalars": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def test_tensorboard_gets_what_the_callback_logged(run, told):
    then, now = log_of(run.folder / "tensorboard"), log_of(told / "logs")
    steps = [[event.step for event in log.Images(OVERVIEW_TAG)] for log in (now, then)]
    assert steps[0] == steps[1]  # there with the loss of the training, which no checkpoint keeps
    for tag in set(now.Tags()["images"]) - {OVERVIEW_TAG}:
        kept = [(event.step, event.encoded_image_string) for event in now.Images(tag)]
        assert kept == [(event.step, event.encoded_image_string) for event in then.Images(tag)], tag
    for tag in now.Tags()["scalars"]:
        ours = torch.tensor([[event.step, event.value] for event in now.Scalars(tag)])
        theirs = torch.tensor([[event.step, event.value] for event in then.Scalars(tag)])
        assert torch.equal(ours.nan_to_num(-9), theirs.nan_to_num(-9)), tag
    assert set(then.Tags()["images"]) == set(now.Tags()["images"])


def test_an_epoch_that_is_already_logged_is_refused_in_one_line(run, told):
    ran = run_script(
        "explain.py",
        f"checkpoint={run.checkpoint(1)}",
        "log_dir=logs",
        "hydra.run.dir=twice",
        cwd=told,
    )
    assert ran.code == 1
    assert ran.err.strip().splitlines() == [
        "explain.py: log_dir=logs: epoch 1 is already logged there; name another folder"
    ]
    assert not list((told / "twice").rglob("maps.npz"))


def test_the_epoch_grid_is_printed_with_its_caption(told):
    figures = told / "out" / "figures"
    assert (figures / "epoch_grid_seg_grad_cam_liver.pdf").read_bytes().startswith(b"%PDF")
    records = [load_maps(told / "out" / f"epoch_{e:03d}" / "maps.npz") for e in range(3)]
    again = as_picture(epoch_grid(records, "liver")[0], 300)
    np.testing.assert_array_equal(pixels(figures / "epoch_grid_seg_grad_cam_liver.png"), again)
    assert "at epochs 0, 1, 2 (rows)" in (figures / "caption.txt").read_text()


def test_emergence_says_that_two_epochs_are_too_few_or_that_nothing_rose(told):
    rows = read_table(told / "out" / "emergence.csv")
    assert len(rows) == 2 * 4 * 9
    assert {row["answer"] for row in rows} <= {"none", "late"}
    assert all(row["words"].endswith("(one run)") for row in rows)


def changed(path, folder, **parts):
    """A copy whose description differs."""
    saved = torch.load(path, weights_only=True)
    saved["segtrace"] |= parts
    copy = folder / f"changed_{path.name}"
    torch.save(saved, copy)
    return copy


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"network": {"_target_": "another"}}, "have different networks; one timeline takes"),
        ({"organs": {"liver": 1}}, "have different organs"),
        ({"probes": {"hash": "another"}}, "watched on different slices"),
        ({"epoch": 1}, "are both of epoch 1; a timeline takes one run"),
    ],
)
def test_checkpoints_of_different_runs_are_refused(run, tmp_path, parts, message):
    other = changed(run.checkpoint(2), tmp_path, **parts)
    with pytest.raises(InputError, match=message) as caught:
        in_order([run.checkpoint(1), other])
    assert "\n" not in str(caught.value)


def test_checkpoints_come_in_the_order_of_their_epochs(run, tmp_path):
    early = shutil.copy(run.checkpoint(0), tmp_path / "z.ckpt")
    assert list(in_order([run.checkpoint(2), run.checkpoint(1), tmp_path / early])) == [0, 1, 2]


def test_many_epochs_are_thinned_towards_the_end_and_the_best_stays():
    dice = {epoch: float(epoch == 110) for epoch in range(151)}
    assert sorted(ranks(dice)[:8]) == [0, 2, 5, 10, 34, 61, 110, 150]


def test_without_any_dice_no_epoch_is_best():
    assert ranks(dict.fromkeys(range(3), math.nan)) == [2, 0, 1]


def test_an_organ_is_animated_over_the_epochs(run, told):
    frames = []
    with Image.open(told / "out" / "figures" / "animation_seg_grad_cam_liver.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (3, 0)
        for i in range(3):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB")).astype(int))
    assert len({frame.shape for frame in frames}) == 1
    assert all(np.abs(a - b).max() > 100 for a, b in pairwise(frames))


def test_the_page_tells_the_events_that_the_logger_tells_and_their_test():
    where = {"organ": "liver", "onto": "spleen", "stages": ("dec1",), "peak": "dec1"}
    where["follows"] = True
    event = Leak(
        "leak", "liver leaks (2.1 times uniform)", {}, ("a test",), rule="grad_pam", **where
    )
    leaks = SimpleNamespace(
        record=SimpleNamespace(flow=SimpleNamespace(rules=["grad_pam"])), all_events=[event],
        events=lambda rule: [event] if rule == event.rule else [], left_out=lambda rule: ["1 of 2"],
    )  # fmt: skip
    assert from_checkpoints._sentences(leaks)[:3] == [
        f"Grad-PAM: {event.words}", "Grad-PAM: 1 of 2", "Claims here passed: a test."
    ]  # fmt: skip
    leaks.events = leaks.left_out = lambda rule: []
    assert from_checkpoints._sentences(leaks) == []
