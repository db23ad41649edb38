"""Checkpoints of several runs: one a run, of networks of one kind."""

from pathlib import Path

import pytest

from segtrace import InputError
from segtrace.studies.inputs import checkpoints
from segtrace.studies.inputs.checkpoints import of_several_runs

KIND = {"network": "u", "stages": {"enc1": "a"}, "organs": {"liver": 1}, "preprocessing": {}}


def described(monkeypatch, kinds):
    monkeypatch.setattr(checkpoints.checkpoint, "describe", lambda path: KIND | kinds.get(path, {}))


def test_one_checkpoint_a_run_is_one_network(monkeypatch):
    paths = [Path(f"multirun/{n}/checkpoints/epoch_010.ckpt") for n in range(3)]
    described(monkeypatch, {})
    assert list(of_several_runs(paths)) == ["network_1", "network_2", "network_3"]


def test_epochs_of_one_run_are_no_replicates(monkeypatch):
    paths = [Path(f"run/checkpoints/epoch_{n:03d}.ckpt") for n in (9, 10)]
    described(monkeypatch, {})
    with pytest.raises(InputError, match=r"epoch_009.ckpt and .*epoch_010.ckpt are of one run"):
        of_several_runs([Path("other/checkpoints/epoch_010.ckpt"), *paths])


@pytest.mark.parametrize("key", KIND)
def test_networks_of_different_kinds_are_not_compared(monkeypatch, key):
    one, other = Path("a/checkpoints/last.ckpt"), Path("b/checkpoints/last.ckpt")
    described(monkeypatch, {other: {key: "another"}})
    with pytest.raises(InputError, match="compare networks of one kind"):
        of_several_runs([one, other])
