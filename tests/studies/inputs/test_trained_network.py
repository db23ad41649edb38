"""Which checkpoint may stand for the untrained network: epoch 0 of the same one."""

from dataclasses import replace

import pytest
from torch import nn

from segtrace import InputError
from segtrace.studies.inputs import trained_network
from segtrace.studies.inputs.trained_network import from_checkpoint, untrained_of


@pytest.fixture(scope="module")
def trained(run):
    return from_checkpoint(run.checkpoint(2))


def test_epoch_0_of_the_same_training_stands_beside_a_network(run, trained):
    for asked in (False, True):
        found = untrained_of(trained, run.checkpoint(0), asked=asked)
        assert (found.epoch, found.settings) == (0, trained.settings)


def test_a_trained_network_is_never_called_untrained(run, trained, tmp_path, capsys):
    with pytest.raises(InputError, match=r"untrained=.*epoch_002.ckpt is of epoch 2, and an untra"):
        untrained_of(trained, run.checkpoint(2), asked=True)
    renamed = tmp_path / "epoch_000.ckpt"
    renamed.write_bytes(run.checkpoint(2).read_bytes())
    assert untrained_of(trained, renamed) is None
    assert "epoch_000.ckpt is of epoch 2" in " ".join(capsys.readouterr().out.split())


def test_another_architecture_is_no_untrained_network(run, trained, monkeypatch):
    before = from_checkpoint(run.checkpoint(0))
    layer = next(name for name, one in before.net.named_modules() if isinstance(one, nn.Conv2d))
    before.net.set_submodule(layer, nn.Conv2d(1, 3, 1))
    monkeypatch.setattr(trained_network, "from_checkpoint", lambda *_: replace(before))
    with pytest.raises(InputError, match=rf"weights differ in shape, e.g. {layer}.*\[3, 1, 1, 1\]"):
        untrained_of(trained, run.checkpoint(0), asked=True)
    assert untrained_of(trained, run.checkpoint(0)) is None


def test_other_organs_are_another_network(run, trained):
    other = replace(trained, channels={"liver": 5})
    with pytest.raises(InputError, match="another network: other organs or stages"):
        untrained_of(other, run.checkpoint(0), asked=True)
