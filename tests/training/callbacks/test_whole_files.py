"""A checkpoint is whole, or not there at all."""

import os

import pytest
import torch

from segtrace import InputError
from segtrace.training.callbacks.checkpoints import WholeFiles


def test_a_checkpoint_is_written_in_its_own_folder_and_reads_back(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nowhere")  # where Lightning's own would go first
    WholeFiles().save_checkpoint({"weights": torch.arange(3)}, tmp_path / "sub" / "last.ckpt")
    saved = torch.load(tmp_path / "sub" / "last.ckpt", weights_only=True)
    assert saved["weights"].tolist() == [0, 1, 2]
    assert len(list((tmp_path / "sub").iterdir())) == 1


def test_one_that_cannot_be_written_leaves_nothing_and_what_was_there(tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"before")
    # The file that it writes first leads to a device that is always full.
    (tmp_path / f".last.ckpt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"cannot write .*last.ckpt: No space left on device"):
        WholeFiles().save_checkpoint({"weights": torch.zeros(10000)}, path)
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]
