"""A training goes on from a checkpoint that is whole; a damaged one harms no other."""

import os
import shutil

import numpy as np
import pytest
import torch

from segtrace import InputError
from segtrace.training.epoch_checkpoints import EpochCheckpoints
from segtrace.training.resuming import resumable

STATE = {"state_dict": {"w": torch.arange(1000.0)}, "optimizer_states": [], "lr_schedulers": [],
         "loops": {}, "callbacks": {}, "epoch": 1, "global_step": 7}  # fmt: skip


class Call:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def folder(tmp_path):
    torch.save(STATE | {"epoch": 2}, tmp_path / "last.ckpt")
    torch.save(STATE | {"epoch": 1}, tmp_path / "previous.ckpt")
    return tmp_path


def damage(path, how):
    if how == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "text":
        path.write_text("hello")
    elif how == "slim":
        torch.save({"state_dict": {}}, path)
    else:
        content = bytearray(path.read_bytes())
        content[content.index(np.float32(500).tobytes())] ^= 1
        path.write_bytes(content)


HOWS = ["cut", "empty", "gone", "text", "slim", "flipped"]


def test_a_whole_checkpoint_is_gone_on_from(folder, capsys):
    assert resumable(folder / "last.ckpt") == folder / "last.ckpt"
    assert resumable(folder / "previous.ckpt") == folder / "previous.ckpt"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("how", HOWS)
def test_where_the_last_is_damaged_the_one_before_it_serves_and_it_says_so(folder, how, capsys):
    damage(folder / "last.ckpt", how)
    assert resumable(folder / "last.ckpt") == folder / "previous.ckpt"
    out = capsys.readouterr().out
    assert f"Going on from {folder / 'previous.ckpt'}, the one before it." in out
    assert "last.ckpt" in out.splitlines()[0]


@pytest.mark.parametrize("how", HOWS)
def test_without_a_whole_one_it_is_one_line(folder, how):
    damage(folder / "last.ckpt", how)
    damage(folder / "previous.ckpt", "flipped")
    with pytest.raises(
        InputError, match=r"nor does the one before it help: .*previous.ckpt"
    ) as one:
        resumable(folder / "last.ckpt")
    (folder / "previous.ckpt").unlink()
    with pytest.raises(InputError, match=r"last\.ckpt") as other:
        resumable(folder / "last.ckpt")
    assert "\n" not in f"{one.value}{other.value}"


def test_another_checkpoint_than_the_last_is_taken_as_named(folder):
    shutil.copy(folder / "last.ckpt", folder / "mine.ckpt")
    damage(folder / "mine.ckpt", "cut")
    with pytest.raises(InputError, match=r"mine\.ckpt is damaged"):
        resumable(folder / "mine.ckpt")


@pytest.mark.parametrize("key", STATE)
def test_a_checkpoint_for_explaining_holds_no_state_to_go_on_from(folder, key):
    torch.save({name: value for name, value in STATE.items() if name != key}, folder / "e.ckpt")
    with pytest.raises(InputError, match=rf"holds no state of a training.*\({key}\); name a run"):
        resumable(folder / "e.ckpt")


def test_a_checkpoint_is_read_as_strictly_as_the_trainer_will(folder):
    for content, what in {
        Call(folder / "ran"): "mkdir",
        np.float64(1): "multiarray.scalar",
    }.items():
        torch.save(STATE | {"callbacks": {"theirs": content}}, folder / "odd.ckpt")
        with pytest.raises(InputError, match=rf"is refused: it holds code \(.*{what}\)"):
            resumable(folder / "odd.ckpt")
    assert not (folder / "ran").exists()


class Writer:
    """The part of a trainer that writes checkpoints."""

    is_global_zero = True
    callbacks = ()
    lightning_module = None

    def __init__(self, epoch):
        self.epoch = epoch

    def save_checkpoint(self, path, weights_only):
        torch.save(STATE | {"epoch": self.epoch}, path)


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


@pytest.mark.parametrize("how", ["cut", "empty", "flipped", "text"])
def test_a_damaged_checkpoint_takes_the_place_of_no_whole_one(folder, how, capsys):
    damage(folder / "last.ckpt", how)
    keeper = EpochCheckpoints(str(folder))
    keeper._save(Writer(3), "last.ckpt", slim=False, previous="previous.ckpt")
    assert epoch_of(folder / "last.ckpt") == 3
    assert epoch_of(folder / "previous.ckpt") == 1
    assert "it does not become previous.ckpt" in capsys.readouterr().out
    keeper._save(Writer(4), "last.ckpt", slim=False, previous="previous.ckpt")
    assert (epoch_of(folder / "previous.ckpt"), epoch_of(folder / "last.ckpt")) == (3, 4)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_checkpoint_has_checksums_whatever_torch_was_told(folder):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        EpochCheckpoints(str(folder))._save(Writer(3), "last.ckpt", slim=False)
        (folder / "previous.ckpt").unlink()
        damage(folder / "last.ckpt", "flipped")
        with pytest.raises(InputError, match="Bad CRC-32"):
            resumable(folder / "last.ckpt")
    finally:
        torch.serialization.set_crc32_options(before)
