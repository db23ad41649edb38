"""What a file may be refused for, and that nothing in it is ever run."""

import os
import pickle

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from segtrace import InputError
from segtrace.training.checkpoint import build, fill, finished_epochs, load, read
from segtrace.training.subject import fitted, from_checkpoint, paths_of


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["SEGTRACE_TEST_TARGET"],)


def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path, monkeypatch):
    target = tmp_path / "was_run"
    monkeypatch.setenv("SEGTRACE_TEST_TARGET", str(target))
    torch.save({"state_dict": Malicious()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil.ckpt is refused: .*holds code"):
        read(tmp_path / "evil.ckpt")
    assert not target.exists()
    with (tmp_path / "evil.pkl").open("wb") as file:
        pickle.dump(Malicious(), file, protocol=2)
    with pytest.raises(InputError, match=r"evil.pkl"):
        read(tmp_path / "evil.pkl")
    assert not target.exists()


def test_damaged_foreign_and_missing_files_are_named(run, tmp_path):
    whole = run.checkpoint(1).read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "text.ckpt").write_text("hello")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    for name, message in {
        "half.ckpt": "half.ckpt",
        "empty.ckpt": "empty.ckpt",
        "text.ckpt": "text.ckpt",
        "none.ckpt": "none.ckpt does not exist",
        "foreign.ckpt": "no checkpoint of train.py.*net=module:builder",
        "tensor.ckpt": "holds a Tensor; a dict",
        "": "is a folder",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_only_a_network_class_is_ever_built():
    with pytest.raises(InputError, match=r"'os\.system' is no network"):
        build({"_target_": "os.system", "command": "true"})
    with pytest.raises(InputError, match=r"cannot import 'no.such.Net'"):
        build({"_target_": "no.such.Net"})
    nested = {"_target_": "torch.nn.ReLU", "inplace": [{"_target_": "os.getcwd"}]}
    with pytest.raises(InputError, match="must be plain values"):
        build(nested)
    with pytest.raises(InputError, match=r"torch.nn.Conv2d: .*in_channels"):
        build({"_target_": "torch.nn.Conv2d"})


def test_weights_that_do_not_fit_are_counted_and_named(tmp_path):
    net = nn.Linear(2, 3)
    wrong = {"weight": torch.zeros(3, 4), "scale": torch.zeros(1)}
    with pytest.raises(InputError) as caught:
        fill(net, wrong, tmp_path / "w.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'} does not fit Linear: 1 missing (bias); 1 unexpected (scale); "
        "1 of another shape (weight)"
    )


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "model.backbone.", "module._orig_mod."])
def test_the_prefix_of_a_wrapper_is_taken_off(prefix):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    saved = {prefix + name: value for name, value in net.state_dict().items()}
    if prefix:
        saved["loss.weight"] = torch.ones(2)  # belongs to the wrapper, not to the network
    for container in (saved, {"state_dict": saved}, {"model_state_dict": saved, "epoch": 3}):
        assert fitted(container, net).keys() == net.state_dict().keys()


def test_a_missing_weight_is_not_hidden_by_a_prefix():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    saved = {"net." + name: value for name, value in net.state_dict().items()}
    del saved["net.1.weight"]
    with pytest.raises(InputError, match=r"1 missing \(1.weight\)"):
        fill(net, fitted(saved, net), "w.pth")


def test_a_checkpoint_brings_its_threads_and_layout(run):
    subject = from_checkpoint(run.checkpoint(2))
    assert subject.epoch == 2
    assert not subject.net.training
    weights = [
        p for p in subject.net.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1
    ]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


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


def test_a_glob_a_list_and_a_name_with_brackets_find_their_files(tmp_path):
    for name in ("a_1.ckpt", "a_2.ckpt", "b[1].ckpt"):
        (tmp_path / name).touch()
    assert [p.name for p in paths_of(f"{tmp_path}/a_*.ckpt")] == ["a_1.ckpt", "a_2.ckpt"]
    assert [p.name for p in paths_of([f"{tmp_path}/a_2.ckpt", f"{tmp_path}/a_*.ckpt"])] == [
        "a_2.ckpt",
        "a_1.ckpt",
    ]
    assert [p.name for p in paths_of(f"{tmp_path}/b[1].ckpt")] == ["b[1].ckpt"]
    with pytest.raises(InputError, match=r"c_\*.ckpt: no such file"):
        paths_of(f"{tmp_path}/c_*.ckpt")
