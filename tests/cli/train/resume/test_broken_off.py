"""What a run left behind that was broken off, whenever that was."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.saving import full_checkpoint
from segtrace import InputError
from segtrace.cli.train.resume.broken_off import begin_anew, left_in, read_left, remove_drafts
from segtrace.cli.train.resume.full_state import Expected, State
from segtrace.training.callbacks.checkpoints import save


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def test_the_last_full_checkpoint_is_what_a_run_goes_on_from(tmp_path):
    full_checkpoint(tmp_path / "previous.ckpt", 2)
    left = left_in(tmp_path) if full_checkpoint(tmp_path / "last.ckpt", 3) else None
    assert (left.path, left.epoch, left.batches) == (tmp_path / "last.ckpt", 3, 30)
    assert left.shapes == {"net.weight": (2, 501)}
    assert left.identity == {"steps": 40}
    assert left_in(tmp_path, tmp_path) == left_in(tmp_path, tmp_path / "last.ckpt") == left


def test_the_one_before_takes_the_place_of_a_damaged_or_missing_one_with_a_word(tmp_path, capsys):
    full_checkpoint(tmp_path / "previous.ckpt", 2)
    assert left_in(tmp_path).epoch == 2
    assert f"last.ckpt is not there. Going on from {tmp_path}" in capsys.readouterr().out
    damage(full_checkpoint(tmp_path / "last.ckpt", 3))
    assert left_in(tmp_path, tmp_path / "last.ckpt").epoch == 2
    said = capsys.readouterr().out
    assert "last.ckpt" in said
    assert "previous.ckpt, the one before it" in said


def test_where_both_are_damaged_nothing_begins_anew(tmp_path):
    for name in ("last.ckpt", "previous.ckpt"):
        damage(full_checkpoint(tmp_path / name, 3))
    with pytest.raises(
        InputError, match=r"last.ckpt .*; .*previous.ckpt .*; begin another run in another folder"
    ) as e:
        left_in(tmp_path)
    assert "\n" not in str(e.value)


def test_a_checkpoint_that_is_named_is_the_one_that_is_taken(tmp_path):
    full_checkpoint(tmp_path / "last.ckpt", 3)
    older = full_checkpoint(tmp_path / "previous.ckpt", 2)
    assert left_in(tmp_path, older).epoch == 2
    torch.save({"segtrace": {"epoch": 1}, "state_dict": {}}, tmp_path / "epoch_001.ckpt")
    for path in (tmp_path / "epoch_001.ckpt", full_checkpoint(tmp_path / "other.ckpt", 4)):
        if path.name == "other.ckpt":
            assert read_left(path).epoch == 4
            continue
        with pytest.raises(InputError, match=r"epoch_001.ckpt holds no state of a training"):
            left_in(tmp_path, path)


def test_a_run_without_a_full_checkpoint_has_nothing_to_go_on_from(tmp_path):
    (tmp_path / "epoch_000.ckpt").write_bytes(b"")
    assert left_in(tmp_path) is None
    assert left_in(tmp_path / "none", tmp_path / "none" / "last.ckpt") is None


def begun(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


FIRST = (
    "config.yaml", "notes.txt", ".lock",
    "checkpoints/epoch_000.ckpt", "checkpoints/epoch_001.ckpt", "tensorboard/events.out.1",
    "flow/measures.csv", "flow/epoch_001/seg_grad_cam/liver.png", "flow/timeline/gain/a.png",
)  # fmt: skip


def test_a_run_of_less_than_an_epoch_begins_anew_in_its_folder(tmp_path, capsys):
    folder = begun(tmp_path, *FIRST)
    begin_anew(folder, folder / "flow")
    assert f"{folder} was broken off before its first full checkpoint" in capsys.readouterr().out
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {"config.yaml", "notes.txt", ".lock"}


def test_its_maps_are_taken_away_in_the_runs_folder_alone(tmp_path):
    folder = begun(tmp_path / "run", "maps/measures.csv")
    elsewhere = begun(tmp_path / "elsewhere", "measures.csv")
    begin_anew(folder, elsewhere)
    assert (elsewhere / "measures.csv").is_file()
    begin_anew(folder, folder / "maps")
    for name in ("epoch_001.ckpt", "best.ckpt", "mine.txt"):
        (elsewhere / name).touch()
    begin_anew(folder, None, elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["measures.csv", "mine.txt"]
    assert list((folder / "maps").iterdir()) == []


@pytest.mark.parametrize("name", ["dice.csv", "checkpoints/epoch_002.ckpt", "flow/epoch_010/a.png"])
def test_what_got_further_is_never_taken_away(tmp_path, name):
    folder = begun(tmp_path, *FIRST, name)
    with pytest.raises(InputError, match=r"holds results .* and no full checkpoint"):
        begin_anew(folder, folder / "flow")
    assert (folder / name).is_file()
    assert (folder / "checkpoints/epoch_000.ckpt").is_file()


def test_drafts_of_a_killed_process_go_and_nothing_else(tmp_path):
    names = ("flow/.measures.csv.77.part", "checkpoints/.last.ckpt.partial", ".config.yaml.1.part")
    folder = begun(tmp_path, *names, *FIRST, "flow/a.part")
    remove_drafts(folder)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {*FIRST, "flow/a.part"}


class Call:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    full_checkpoint(tmp_path / "last.ckpt", 2)
    full_checkpoint(tmp_path / "previous.ckpt", 1)
    return tmp_path


def damaged(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "text":
        path.write_text("hello")
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "slim":
        torch.save({"state_dict": {}}, path)
    else:
        content = bytearray(path.read_bytes())
        content[content.index(np.float32(500).tobytes())] ^= 1
        path.write_bytes(content)


HOWS = ["cut", "empty", "gone", "text", "slim", "flipped", "a folder"]


@pytest.mark.parametrize("how", HOWS)
def test_where_the_last_is_damaged_the_one_before_it_serves_and_it_says_so(folder, how, capsys):
    damaged(folder / "last.ckpt", how)
    assert left_in(folder).path == folder / "previous.ckpt"
    out = capsys.readouterr().out
    assert f"Going on from {folder / 'previous.ckpt'}, the one before it." in out
    assert "last.ckpt" in out.splitlines()[0]


@pytest.mark.parametrize("how", [how for how in HOWS if how != "gone"])
def test_without_a_whole_one_it_is_one_line(folder, how):
    damaged(folder / "last.ckpt", how)
    damaged(folder / "previous.ckpt", "flipped")
    with pytest.raises(InputError, match=r"last\.ckpt .*; .*previous\.ckpt .*; begin") as one:
        left_in(folder)
    assert "\n" not in str(one.value)


def test_another_checkpoint_than_the_last_is_taken_as_named(folder):
    shutil.copy(folder / "last.ckpt", folder / "mine.ckpt")
    damaged(folder / "mine.ckpt", "cut")
    with pytest.raises(InputError, match=r"mine\.ckpt is damaged"):
        left_in(folder, folder / "mine.ckpt")


@pytest.mark.parametrize("key", State.__annotations__)
def test_a_checkpoint_for_explaining_holds_no_state_to_go_on_from(folder, key):
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    for other in ({}, {key: "odd"}):
        torch.save({name: saved[name] for name in saved if name != key} | other, folder / "e.ckpt")
        with pytest.raises(
            InputError, match=rf"holds no state of a training to go on from \({key}.*\); name"
        ):
            left_in(folder, folder / "e.ckpt")


def test_a_checkpoint_is_read_as_strictly_as_the_trainer_will(folder):
    for content, what in {
        Call(folder / "ran"): "mkdir",
        np.float64(1): "multiarray.scalar",
    }.items():
        torch.save({"callbacks": {"theirs": content}}, folder / "odd.ckpt")
        with pytest.raises(InputError, match=rf"is refused: it holds code \(.*{what}\)"):
            left_in(folder, folder / "odd.ckpt")
    assert not (folder / "ran").exists()


class Writer:
    """The part of a trainer that writes checkpoints."""

    is_global_zero = True
    callbacks = ()
    lightning_module = None

    def __init__(self, epoch):
        self.epoch = epoch

    def save_checkpoint(self, path, weights_only):
        full_checkpoint(Path(path), self.epoch)


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "text"])
def test_a_damaged_checkpoint_takes_the_place_of_no_whole_one(folder, how, capsys):
    damaged(folder / "last.ckpt", how)
    save(Writer(3), folder / "last.ckpt", slim=False, previous="previous.ckpt")
    assert epoch_of(folder / "last.ckpt") == 3
    assert epoch_of(folder / "previous.ckpt") == 1
    assert "it does not become previous.ckpt" in capsys.readouterr().out
    save(Writer(4), folder / "last.ckpt", slim=False, previous="previous.ckpt")
    assert (epoch_of(folder / "previous.ckpt"), epoch_of(folder / "last.ckpt")) == (3, 4)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_folder_in_the_place_of_a_checkpoint_is_moved_and_kept(folder, capsys):
    for name in ("last.ckpt", "previous.ckpt"):
        damaged(folder / name, "a folder")
        (folder / name / "thesis.doc").touch()
    for epoch in (3, 4):
        save(Writer(epoch), folder / "last.ckpt", slim=False, previous="previous.ckpt")
    assert (epoch_of(folder / "previous.ckpt"), epoch_of(folder / "last.ckpt")) == (3, 4)
    said = capsys.readouterr().out
    for name in ("last.ckpt", "previous.ckpt"):
        assert (folder / f"{name}.folder" / "thesis.doc").is_file()
        assert f"{folder / name} was a folder: it is {folder / name}.folder now" in said


def test_a_checkpoint_has_checksums_whatever_torch_was_told(folder):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        save(Writer(3), folder / "last.ckpt", slim=False)
        (folder / "previous.ckpt").unlink()
        damaged(folder / "last.ckpt", "flipped")
        with pytest.raises(InputError, match="Bad CRC-32"):
            left_in(folder)
    finally:
        torch.serialization.set_crc32_options(before)


def put(saved, path, value):
    *above, last = path
    for key in above:
        saved = saved[key]
    saved[last] = value


FIT = ("loops", "fit_loop")
OPTIMISER = ("optimizer_states", 0)
STEPS = (*FIT, "epoch_loop.automatic_optimization.optim_progress", "optimizer", "step")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("callbacks", "Continuity"), 5),
        (("callbacks", "Continuity", "cases"), [1]),
        (("callbacks", "Continuity", "configuration"), 5),
        (("callbacks", "Continuity", "steps"), "x"),
        (("callbacks", "Continuity"), {}),
        (("callbacks", "FlowCallback"), None),
        (("callbacks", "FlowCallback", "history"), {}),
        (("callbacks", "FlowCallback", "history", "epochs"), 5),
        (("callbacks", "FlowCallback", "drawn", "charts"), "x"),
        (("callbacks", "FlowCallback", "cuts", "epochs"), [-1]),
        ((*FIT, "epoch_progress"), {}),
        ((*FIT, "epoch_progress", "total"), {}),
        ((*FIT, "epoch_loop.state_dict", "_batches_that_stepped"), -1),
        ((*FIT, "epoch_loop.state_dict"), []),
        ((*STEPS, "current", "completed"), -2),
        (("pytorch-lightning_version",), "0.7.0"),
        (("pytorch-lightning_version",), "foo"),
        (("pytorch-lightning_version",), 2),
        (("optimizer_states",), []),
        (("optimizer_states",), [5]),
        (("optimizer_states",), [{"a": 1}]),
        ((*OPTIMISER, "param_groups", 0), {}),
        ((*OPTIMISER, "param_groups", 0, "lr"), "x"),
        ((*OPTIMISER, "state", 0), 5),
        ((*OPTIMISER, "state", 0, "exp_avg"), torch.tensor([0, np.nan])),
        (("lr_schedulers",), []),
        (("lr_schedulers",), [{"a": 1}]),
        (("lr_schedulers",), [{"last_epoch": "x"}]),
        (("global_step",), -5),
        (("global_step",), True),
        (("epoch",), 1.5),
        (("segtrace", "epoch"), -1),
        (("state_dict", "net.weight"), torch.tensor([1, np.nan])),
        (("state_dict", "net.weight"), torch.tensor([1, np.inf])),
        (("state_dict", "net.weight"), 5),
    ],
)
def test_the_state_is_looked_at_to_its_last_number_and_the_one_before_serves(
    folder, path, value, capsys
):
    whole = torch.load(folder / "last.ckpt", weights_only=True)
    put(whole, path, value)
    torch.save(whole, folder / "last.ckpt")
    expected = Expected(schedules=1, flows=1)
    assert left_in(folder, expected=expected).path == folder / "previous.ckpt"
    assert "Going on from" in capsys.readouterr().out
    with pytest.raises(InputError, match=rf"last.ckpt holds no state .* \({path[0]}\b") as one:
        read_left(folder / "last.ckpt", expected)
    assert "\n" not in str(one.value)


def test_what_a_run_keeps_is_told_by_its_configuration():
    flow = {"_target_": "segtrace.training.callbacks.flow.FlowCallback"}
    with_all = {"callbacks": {"flow": flow, "x": None}, "model": {"scheduler": {}}}
    assert Expected.of(with_all) == Expected(1, 1)
    with_all["callbacks"]["second"] = flow
    assert Expected.of(with_all) == Expected(1, 2)
    assert Expected.of({"callbacks": {}, "model": {}}) == Expected(0, 0)
