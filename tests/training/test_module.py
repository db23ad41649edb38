"""What chance does in a training step is a function of seed, epoch and batch."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from segtrace.training.module import SegmentationModule


class Chance(nn.Module):
    """A network that writes down what dropout would have drawn."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(1, 2, 1)
        self.drawn = []

    def forward(self, x):
        if self.training:
            self.drawn.append(torch.rand(1).item())
        return self.last(x)


def drawn(tmp_path, seed=0, epochs=3):
    """(epoch, batch) -> what was drawn there."""
    slices = [{"image": torch.rand(1, 8, 8), "label": torch.zeros(1, 8, 8)} for _ in range(4)]
    module = SegmentationModule(Chance(), {"organ": 1}, channels_last=False, seed=seed)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, DataLoader(slices, batch_size=2))
    return torch.tensor(module.net.drawn).view(epochs, 2)


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*",
                            "ignore:.*logging interval.*", "ignore:.*val_dataloader.*")  # fmt: skip
def test_dropout_differs_from_batch_to_batch_epoch_to_epoch_and_seed_to_seed(tmp_path):
    one = drawn(tmp_path)
    assert len(set(one.flatten().tolist())) == 6
    torch.manual_seed(123)  # whatever the state before
    assert torch.equal(drawn(tmp_path), one)
    assert torch.equal(drawn(tmp_path, epochs=2), one[:2])
    assert not (drawn(tmp_path, seed=1) == one).any()
