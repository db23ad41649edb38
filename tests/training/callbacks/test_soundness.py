"""A training whose weights are lost stops, by name, before they replace good ones."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from segtrace import InputError
from segtrace.network.lost import unsound
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.callbacks.soundness import Soundness

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*", "ignore:.*logging interval.*"
)


class Losing(pl.LightningModule):
    """Its loss is lost on some batches of some epochs, which leave its weights as they are."""

    def __init__(self, lost, value=torch.nan, spoil=None):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        self.lost, self.value, self.spoil = lost, value, spoil

    def training_step(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) in self.lost:
            return torch.tensor(self.value, requires_grad=True)
        return self.net(batch[0]).square().mean()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if (self.current_epoch, batch_idx) == self.spoil:
            self.net[1].running_mean[:] = torch.inf

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(module, folder, *callbacks):
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
        callbacks=[Soundness(), EpochCheckpoints(str(folder)), *callbacks],
    )  # fmt: skip
    slices = torch.arange(4.0)[:, None]
    trainer.fit(module, DataLoader(TensorDataset(slices), batch_size=2))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_lost_for_a_whole_epoch_stops_the_training(tmp_path, value):
    module = Losing({(1, 0), (1, 1)}, value)
    with pytest.raises(
        InputError, match=r"the loss was not finite on any batch of epoch 2; begin anew .*lower mod"
    ):
        fit(module, tmp_path)
    found = sorted(path.name for path in tmp_path.glob("*.ckpt"))
    assert found == ["epoch_000.ckpt", "epoch_001.ckpt", "last.ckpt"]
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert kept["epoch"] == 0  # Lightning's count: the first pass
    assert all(weights.isfinite().all() for weights in kept["state_dict"].values())


def test_a_loss_that_is_lost_on_one_batch_alone_does_not(tmp_path):
    fit(Losing({(1, 0), (2, 1)}), tmp_path)
    assert (tmp_path / "epoch_003.ckpt").is_file()


def test_weights_that_are_lost_stop_the_training_whatever_the_loss_was(tmp_path):
    with pytest.raises(InputError, match=r"1 weights are not finite after epoch 2 \(net.1.running"):
        fit(Losing(set(), spoil=(1, 1)), tmp_path)
    assert not (tmp_path / "epoch_002.ckpt").exists()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 0


def test_parameters_and_buffers_are_looked_at_and_counts_are_not():
    net = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    assert list(unsound(net)) == []
    with torch.no_grad():
        net[0].bias[0] = -torch.inf
        net[1].running_var[0] = torch.nan
    assert list(unsound(net)) == ["0.bias", "1.running_var"]
    masked = nn.Module()
    masked.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert list(unsound(masked)) == []
    masked.mask[0] = torch.inf
    assert list(unsound(masked)) == ["mask"]
