"""Validation batches: as many as the trainer reads, of whatever loader, and nothing moved."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import CombinedLoader
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from segtrace import FlowCallback, InputError
from segtrace.data.probes import Probes
from segtrace.training.slices.validation_batches import Batches, validation_batches

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*length of the list.*",
    "ignore:.*overfit_batches.*",
)


def slice_of(index):
    """Image and label (16, 16) with an organ whose place and area tell the index."""
    label = torch.zeros(16, 16, dtype=torch.long)
    label[index % 10 : index % 10 + 4, : 2 + index % 7] = 1
    return label[None] + 0.01 * index, label


class Ten(Dataset):
    """Ten slices that remember how often they were asked for."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.asked.append(index)
        return slice_of(index)


class Endless(IterableDataset):
    def __iter__(self):
        return map(slice_of, iter(range(10**9)))


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.organs = {"box": 1}
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))

    def training_step(self, batch, batch_idx):
        image, label = batch
        return nn.functional.cross_entropy(self.net(image), label)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.training_step(batch, batch_idx)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Look(pl.Callback):
    """What the callback would read, where it would read it."""

    batches = None

    def on_train_start(self, trainer, pl_module):
        self.batches = validation_batches(trainer)
        trainer.should_stop = True


def trainer(*callbacks, **options):
    options = {"max_epochs": 1, "limit_train_batches": 1, "num_sanity_val_steps": 0} | options
    return pl.Trainer(callbacks=list(callbacks), logger=False, accelerator="cpu",
                      enable_progress_bar=False, enable_model_summary=False,
                      enable_checkpointing=False, **options)  # fmt: skip


def read(validation, **options):
    look = Look()
    trainer(look, **options).fit(Net(), DataLoader(Ten(), batch_size=2), validation)
    return look.batches


def images(batches):
    return torch.cat([batch[0] for batch in batches])


def ten():
    return DataLoader(Ten(), batch_size=2)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 5),
        ({"limit_val_batches": 3}, 3),
        ({"limit_val_batches": 0.5}, 2),
        ({"limit_val_batches": 1.0}, 5),
        ({"limit_val_batches": 9}, 5),
        ({"fast_dev_run": True}, 1),
        ({"overfit_batches": 2}, 2),
        ({"check_val_every_n_epoch": 2}, 5),
        ({"check_val_every_n_epoch": 2, "limit_val_batches": 3}, 3),
        ({"check_val_every_n_epoch": 2, "limit_val_batches": 0.5}, 2),
    ],
)
def test_as_many_batches_are_read_as_the_trainer_reads(options, expected):
    batches = read(ten(), **options)
    for _ in range(2):  # from the first one on, each time
        assert torch.equal(images(batches), images(list(ten())[:expected]))


@pytest.mark.parametrize("every", [1, 2])
def test_a_loader_without_an_end_is_read_as_far_as_the_trainer_reads_it(every):
    endless = DataLoader(Endless(), batch_size=2)
    batches = read(endless, limit_val_batches=3, check_val_every_n_epoch=every)
    assert torch.equal(images(batches), images(list(ten())[:3]))


def test_the_batch_after_the_last_is_not_asked_for():
    loader = ten()
    assert len(list(Batches(loader, 2))) == 2
    assert loader.dataset.asked == [0, 1, 2, 3]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "several",
    [
        lambda: [ten(), DataLoader(Endless(), batch_size=2)],
        lambda: {"near": ten(), "far": ten()},
        lambda: [[ten()], [ten(), ten()]],
        lambda: CombinedLoader([ten(), ten()], "sequential"),
    ],
)
def test_of_several_loaders_the_first_is_read(several, every):
    batches = read(several(), limit_val_batches=3, check_val_every_n_epoch=every)
    assert torch.equal(images(batches), images(list(ten())[:3]))


class Owning(pl.LightningDataModule):
    """Makes its loaders anew each time it is asked, and draws for it."""

    made = 0

    def train_dataloader(self):
        return ten()

    def val_dataloader(self):
        self.made += 1
        torch.rand(1)
        return ten()


@pytest.mark.parametrize("every", [1, 2])
def test_the_loaders_of_a_data_module_are_found(every):
    look, data = Look(), Owning()
    trainer(look, check_val_every_n_epoch=every).fit(Net(), data)
    assert len(list(look.batches)) == 5


@pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
def test_validating_on_nothing_is_refused_with_the_reason():
    with pytest.raises(InputError, match=r"limit_val_batches=0 leaves none; read some, or give"):
        read(ten(), limit_val_batches=0)
    with pytest.raises(InputError, match=r"no validation loader; give probes"):
        read(None)


def test_probes_that_are_given_need_no_validation(tmp_path):
    images, labels = zip(*map(slice_of, range(3)), strict=True)
    probes = Probes(
        images=torch.stack(images).float(),
        labels=torch.stack(labels).to(torch.uint8),
        cases=("a", "a", "b"),
        slices=(0, 1, 0),
        spacing=torch.ones(3, 2, dtype=torch.float64),
        split="val",
        phantom=False,
    )
    flow = FlowCallback(stages={"enc1": "1", "head": "2"}, probes=probes, folder=str(tmp_path))
    with pytest.warns(UserWarning, match="no logger that shows"):
        trainer(flow, limit_val_batches=0).fit(Net(), ten(), ten())
    assert flow.explained.record.epoch == 1


def test_persistent_workers_of_the_training_are_left_alone():
    loader = DataLoader(Ten(), batch_size=2, num_workers=1, persistent_workers=True)
    assert len(list(Batches(loader, 2))) == 2
    assert loader._iterator is None


class Noisy(Dataset):
    """Draws from both global generators of the loading process, as many data sets do."""

    def __init__(self):
        self.own = np.random.RandomState(3)

    def __len__(self):
        return 8

    def __getitem__(self, index):
        image, label = slice_of(index)
        noise = np.random.rand() + random.random() + self.own.rand()
        return image + 0.1 * noise, label


def weights(tmp_path, callbacks, generator, data):
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    training = DataLoader(data, batch_size=2, shuffle=True, generator=generator)
    validation = DataLoader(data, batch_size=2, generator=generator)
    module = Net()
    trainer(*callbacks, max_epochs=2, limit_train_batches=4).fit(module, training, validation)
    return module.state_dict(), (random.random(), np.random.rand(), float(torch.rand(())))


@pytest.mark.filterwarnings("ignore:.*no logger that shows.*")
def test_weights_are_bit_identical_where_the_data_draw_from_every_generator(tmp_path):
    """NumPy's, Python's, torch's, one that both loaders share, and one that the data own."""
    flow = FlowCallback(stages={"enc1": "1", "head": "2"}, folder=str(tmp_path))
    ends = [
        weights(tmp_path, callbacks, torch.Generator().manual_seed(4), Noisy())
        for callbacks in ([flow], [])
    ]
    assert (tmp_path / "measures.csv").is_file()
    assert all(torch.equal(ends[0][0][name], ends[1][0][name]) for name in ends[1][0])
    assert ends[0][1] == ends[1][1]


def draw():
    return random.random() + np.random.rand() + float(torch.rand(()))


class Experiment:
    def __getattr__(self, name):
        draw()
        raise AttributeError(name)


class DrawingLogger(CSVLogger):
    """Whoever asks for anything of it moves the generators."""

    experiment = Experiment()

    def log_hyperparams(self, *_, **__):
        pass

    log_metrics = save = finalize = log_hyperparams


class DrawingNet(Net):
    """So does whoever asks this one for its organs or its Dice."""

    @property
    def organs(self):
        draw()
        return {"box": 1}

    @organs.setter
    def organs(self, organs):
        pass

    @property
    def organ_dice(self):
        draw()
        return {"box": 0.5}

    def validation_step(self, batch, batch_idx):
        self.log("loss", 1.0)


class After(pl.Callback):
    """Notes the generators after every hook of the callback before it."""

    def __init__(self):
        self.states = []

    def note(self, *_, **__):
        self.states.append((random.getstate(), np.random.get_state()[1].sum(),
                            torch.get_rng_state().sum().item()))  # fmt: skip

    setup = on_train_start = on_validation_batch_start = on_train_epoch_end = on_train_end = note


@pytest.mark.filterwarnings("ignore:.*no logger that shows.*")
@pytest.mark.parametrize("every", [1, 9])
def test_no_hook_of_the_callback_moves_a_generator(tmp_path, every):
    states = []
    for callbacks in ([FlowCallback(stages={"enc1": "1", "head": "2"}, folder=str(tmp_path),
                                    every_n_epochs=every)], []):  # fmt: skip
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        after = After()
        stop = EarlyStopping("loss", patience=1)
        made = pl.Trainer(callbacks=[*callbacks, stop, after], accelerator="cpu", max_epochs=9,
                          logger=DrawingLogger(tmp_path), enable_checkpointing=False,
                          log_every_n_steps=1, num_sanity_val_steps=0, enable_progress_bar=False,
                          enable_model_summary=False)  # fmt: skip
        made.fit(DrawingNet(), ten(), ten())
        after.note()
        states.append(after.states)
    assert states[0] == states[1]
    assert (tmp_path / "epoch_002").is_dir()
