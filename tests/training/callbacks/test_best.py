"""The best epoch is kept beside the others, with the Dice of the weights in the file."""

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from pytorch_lightning.callbacks import EMAWeightAveraging

from segtrace import InputError
from segtrace.training.callbacks.best import BEST, BestCheckpoint
from training.test_module import fingerprint, kept, of_file, train, truth

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*smaller than the logging interval.*",
)


class Spoiled(pl.Callback):
    """The first and the third epoch are validated with weights that find nothing."""

    def on_validation_start(self, trainer, pl_module):
        if trainer.state.fn == "fit":
            with torch.no_grad():
                pl_module.net[3].bias[0] = (99.0, 0.0, 99.0)[trainer.current_epoch]


@pytest.mark.parametrize("change", [lambda: EMAWeightAveraging(decay=0.5), Spoiled])
def test_the_file_is_the_epoch_with_the_largest_dice(tmp_path, change):
    best = BestCheckpoint(str(tmp_path))
    train(tmp_path, change(), best)
    dice = {e: kept(tmp_path, e)["segtrace"]["dice"]["mean"] for e in (1, 2, 3)}
    expected = max(dice, key=dice.get)
    assert (best.epoch, best.dice) == (expected, dice[expected])
    assert change is not Spoiled or expected == 2
    path = str(tmp_path / BEST)
    assert OverridesParser.create().parse_override(f"checkpoint={path}").value() == path
    saved = torch.load(path, weights_only=True)
    assert saved["segtrace"]["epoch"] == expected
    assert fingerprint(of_file(saved)) == fingerprint(of_file(kept(tmp_path, expected)))
    assert truth(of_file(saved)) == pytest.approx(saved["segtrace"]["dice"])
    assert "optimizer_states" not in saved
    full = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert full["BestCheckpoint"] == {"dice": best.dice, "epoch": best.epoch}


def test_of_an_organ_and_of_epochs_that_were_validated(tmp_path):
    best = BestCheckpoint(str(tmp_path), monitor="val/dice/corner")
    train(tmp_path, best, max_epochs=2, check_val_every_n_epoch=2)
    assert best.epoch == 2
    assert best.dice == kept(tmp_path, 2)["segtrace"]["dice"]["corner"]


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("train/loss", "callbacks.best.monitor=train/loss; give val/dice/mean"),
        ("val/dice/bax", "no callbacks.best.monitor 'val/dice/bax'; .*did you mean val/dice/box"),
    ],
)
def test_what_is_no_dice_of_the_network_is_one_line(tmp_path, monitor, message):
    with pytest.raises(InputError, match=message):
        train(tmp_path, BestCheckpoint(str(tmp_path), monitor))
    assert not list(tmp_path.glob("*.ckpt"))
