"""How epochs are counted."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from segtrace.training.epochs import finished_epochs


class Plain(pl.LightningModule):
    """A training in one weight."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        self.layer(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Counting(pl.Callback):
    """Writes down how many passes are finished wherever somebody may ask."""

    def __init__(self):
        self.told = []

    def _tell(self, trainer, where):
        self.told.append((where, finished_epochs(trainer)))

    def on_sanity_check_end(self, trainer, pl_module):
        self._tell(trainer, "check")

    def on_train_epoch_start(self, trainer, pl_module):
        self._tell(trainer, "start")

    def on_validation_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self._tell(trainer, "validated")

    def on_train_epoch_end(self, trainer, pl_module):
        self._tell(trainer, "end")


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*",
                            "ignore:.*logging interval.*")  # fmt: skip
def test_epochs_are_finished_passes_wherever_they_are_counted(tmp_path):
    """Validation at the end of a pass is of that pass; what follows the fit adds none."""
    counting, loader = Counting(), DataLoader(torch.rand(2, 1))
    trainer = pl.Trainer(
        max_epochs=2, callbacks=[counting], accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    module = Plain()
    assert finished_epochs(trainer) == 0
    trainer.fit(module, loader, loader)
    passes = [[("start", e), ("validated", e + 1), ("end", e + 1)] for e in range(2)]
    assert counting.told == [("check", 0), *passes[0], *passes[1]]
    assert finished_epochs(trainer) == 2
    trainer.validate(module, loader, verbose=False)
    assert counting.told[-1] == ("validated", 2)
