"""A Dice stands beside the weights it was measured on, in every file and log, or nothing does."""

import math
from dataclasses import replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, Dataset

from segtrace import FlowCallback, InputError
from segtrace.activation import Organ
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings, explain_probes
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from segtrace.training.epochs import finished_epochs
from segtrace.training.metrics import CaseDice
from segtrace.training.module import SegmentationModule
from segtrace.training.schedules import one_cycle
from segtrace.training.weights import fingerprint

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
    "ignore:.*smaller than the logging interval.*",
    "ignore:.*Found .* module.s. in eval mode.*",
)
ORGANS = {"box": 1, "corner": 2}


class Drawn(Dataset):
    """Eight slices of two cases."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        label = torch.zeros(1, 16, 16, dtype=torch.uint8)
        label[0, 2 : 6 + index % 4, 2:7] = 1
        label[0, 9:14, 9 : 12 + index % 3] = 2
        noise = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(index))
        return {"image": label / 2 + 0.3 * noise, "label": label,
                "case": "ab"[index // 4], "slice": index % 4}  # fmt: skip


class Data(pl.LightningDataModule):
    def __init__(self):
        super().__init__()
        self.split = {"val": ["a", "b"], "test": ["a", "b"]}

    def train_dataloader(self):
        return DataLoader(Drawn(), batch_size=2)

    def val_dataloader(self):
        return DataLoader(Drawn(), batch_size=3)

    test_dataloader = val_dataloader


def module(lr=0.05, normalised=True):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1)]
    net = nn.Sequential(*(layers if normalised else [layers[0], *layers[2:]]))
    return SegmentationModule(net, ORGANS, partial(torch.optim.SGD, lr=lr), channels_last=False)


def truth(net):
    """The Dice of a network, counted slowly."""
    metric = CaseDice(["a", "b"], ORGANS)
    with torch.no_grad():
        for item in Drawn():
            prediction = net.eval()(item["image"][None]).argmax(1)
            metric.update(prediction, item["label"].long(), [item["case"]], [item["slice"]])
    return metric.per_organ()


def watching(folder, **options):
    return FlowCallback(stages={"enc1": "0", "head": "3"}, folder=str(folder / "flow"),
                        settings=Settings(["grad_pam"], organs=["box"]), **options)  # fmt: skip


def train(folder, *callbacks, made=None, validate=True, **options):
    made = made or module()
    trainer = pl.Trainer(
        callbacks=[*callbacks, EpochCheckpoints(str(folder))],
        logger=CSVLogger(folder, name="", version="csv"),
        **{"max_epochs": 3, "default_root_dir": folder, "accelerator": "cpu",
           "enable_progress_bar": False, "enable_model_summary": False,
           "num_sanity_val_steps": 0} | options,
    )  # fmt: skip
    if validate:
        trainer.validate(made, Data(), verbose=False)
    trainer.fit(made, Data())
    return trainer, made


def kept(folder, epoch):
    return torch.load(folder / f"epoch_{epoch:03d}.ckpt", weights_only=True)


def of_file(saved):
    """The network of a checkpoint."""
    net = module(normalised="net.1.running_mean" in saved["state_dict"]).net
    net.load_state_dict({k.removeprefix("net."): v for k, v in saved["state_dict"].items()})
    return net


def logged(folder):
    """Step -> val/dice/box, each once."""
    rows = [row for row in read_table(folder / "csv" / "metrics.csv") if row.get("val/dice/box")]
    steps = [int(row["step"]) for row in rows]
    assert len(steps) == len(set(steps))
    return {step: float(row["val/dice/box"]) for step, row in zip(steps, rows, strict=True)}


def in_table(folder):
    rows = [r for r in read_table(folder / "flow" / "depth.csv") if r["organ"] == "box"]
    return {int(row["epoch"]): float(row["dice"]) for row in rows}


class AfterEpoch(EMAWeightAveraging):
    """Averages once more when an epoch has been validated."""

    def should_update(self, step_idx=None, epoch_idx=None):
        return epoch_idx is not None


class Nudge(pl.Callback):
    """Changes the weights when all else is done, without a step."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.net[0].bias.data += 1


@pytest.mark.parametrize(
    ("options", "callbacks", "known"),
    [
        ({}, [], [0, 1, 2, 3]),
        ({"validate": False}, [], [1, 2, 3]),
        ({"validate": False, "num_sanity_val_steps": 2}, [], [1, 2, 3]),
        ({"val_check_interval": 0.75}, [], [0]),
        ({"val_check_interval": 0.5}, [], [0, 1, 2, 3]),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, [], [0, 3]),
        ({"check_val_every_n_epoch": 2}, [], [0, 2]),
        ({"limit_val_batches": 0}, [], []),
        ({"max_steps": 10, "max_epochs": None}, [], [0, 1, 2]),
        ({"accumulate_grad_batches": 4, "val_check_interval": 0.75}, [], [0]),
        ({}, [lambda: EMAWeightAveraging(decay=0.5)], [0, 1, 2, 3]),
        ({"val_check_interval": 0.75}, [lambda: EMAWeightAveraging(decay=0.5)], [0]),
        ({}, [AfterEpoch], [0]),
        ({"max_epochs": 2}, [lambda: StochasticWeightAveraging(0.05, 1)], [0, 1, 2, 3]),
        ({}, [Nudge], [0]),
    ],
)
def test_every_dice_is_that_of_the_weights_beside_it(tmp_path, options, callbacks, known):
    made = [make() for make in callbacks]
    watched = not options or (options == {"val_check_interval": 0.75} and not callbacks)
    train(tmp_path, *made, *[watching(tmp_path)] * watched, **options)
    epochs = range(len(list(tmp_path.glob("epoch_*.ckpt"))))
    found = {}
    for epoch in epochs:
        saved = kept(tmp_path, epoch)
        described = saved["segtrace"]
        assert described["epoch"] == epoch
        assert bool(described["dice"]) == bool(described["found"])
        if described["dice"]:
            found[epoch] = described["dice"]["box"]
            assert described["dice"] == pytest.approx(truth(of_file(saved)))
            cases = [case["box"]["dice"] for case in described["found"].values()]
            assert sum(cases) / 2 == pytest.approx(found[epoch])
    assert list(found) == known
    assert logged(tmp_path) == pytest.approx(found)
    if watched:
        told = in_table(tmp_path)
        assert list(told) == list(epochs)
        assert {epoch: dice for epoch, dice in told.items() if not math.isnan(dice)} == found


@pytest.mark.parametrize("behind", [False, True])
def test_what_is_explained_is_what_the_checkpoint_holds_wherever_it_is_averaged(tmp_path, behind):
    flow, averaging = watching(tmp_path), AfterEpoch(decay=0.5)
    train(tmp_path, *([flow, averaging] if behind else [averaging, flow]), max_epochs=1)
    with torch.no_grad():
        logits = of_file(kept(tmp_path, 1)).eval()(flow.probes.images)
    scores = (logits[:, 1] * (flow.probes.labels == 1)).sum((1, 2))
    torch.testing.assert_close(flow.explained.record.flow.scores[0], scores)


def test_where_nothing_changes_the_weights_their_dice_stands_whenever_it_was_measured(tmp_path):
    train(tmp_path, made=module(lr=0, normalised=False), val_check_interval=0.75, max_epochs=1)
    assert kept(tmp_path, 1)["segtrace"]["dice"] == kept(tmp_path, 0)["segtrace"]["dice"] != {}


def test_a_resumed_run_has_no_dice_before_it_has_validated(tmp_path):
    train(tmp_path)
    fresh = module()
    pl.Trainer(max_epochs=3, logger=False, accelerator="cpu", enable_progress_bar=False,
               enable_model_summary=False, enable_checkpointing=False).fit(
        fresh, Data(), ckpt_path=tmp_path / "last.ckpt")  # fmt: skip
    assert fingerprint(fresh.net) == fingerprint(of_file(kept(tmp_path, 3)))
    assert fresh.organ_dice == {}


class Epochs(pl.Callback):
    """What a checkpoint that is saved during validation would say of its epoch."""

    def __init__(self):
        self.seen = []

    def on_validation_end(self, trainer, pl_module):
        self.seen.append((finished_epochs(trainer), pl_module.net[0].weight.sum().item()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"val_check_interval": 0.5}, [0, 1, 1, 2, 2, 3]),
        ({"val_check_interval": 0.75}, [0, 1, 2]),
        ({"limit_train_batches": 3, "val_check_interval": 3}, [1, 2, 3]),
        ({"num_sanity_val_steps": 1, "max_epochs": 1}, [0, 1]),
    ],
)
def test_validation_closes_a_pass_only_where_no_batch_of_it_follows(tmp_path, options, expected):
    epochs = Epochs()
    train(tmp_path, epochs, validate=False, **options)
    assert [epoch for epoch, _ in epochs.seen] == expected


def test_what_a_validation_and_a_test_count_is_kept(tmp_path):
    trainer, made = train(tmp_path, max_epochs=1)
    expected = truth(made.net)
    assert made.counted.per_organ() == pytest.approx(expected)
    of_validation = made.counted
    trainer.test(made, Data(), verbose=False)
    assert made.counted is of_validation
    assert made.tested.per_organ() == pytest.approx(expected)
    assert {row["case"] for row in made.tested.table()} == {"a", "b"}


def test_a_group_of_one_process_is_advised_nothing(tmp_path, recwarn):
    """``trainer=ddp`` on one device, where Lightning would say how to log in several processes."""
    try:
        trainer, made = train(tmp_path, max_epochs=1, strategy="ddp", devices=1, validate=False)
    finally:
        torch.distributed.destroy_process_group()
    assert not [str(one.message) for one in recwarn if "sync_dist" in str(one.message)]
    shown = float(trainer.callback_metrics["val/dice/mean"])
    assert shown == pytest.approx(made.counted.per_organ()["mean"])


def test_processes_beside_one_another_drop_out_other_cells(monkeypatch):
    made = module()
    made.trainer = pl.Trainer(logger=False, accelerator="cpu", enable_checkpointing=False,
                              enable_model_summary=False)  # fmt: skip
    drawn = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(type(made), "global_rank", rank)
        made.on_train_batch_start(None, 3)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize("fits", [{"max_epochs": 1}, {"max_steps": 2}, {"max_time": "00:00:00:09"}])
def test_a_schedule_needs_to_know_how_many_steps_there_will_be(tmp_path, fits):
    made = module()
    made.scheduler = one_cycle
    endless = "max_time" in fits
    trainer = pl.Trainer(**{"max_epochs": -1} | fits, logger=False, accelerator="cpu",
                         enable_progress_bar=False, enable_model_summary=False,
                         enable_checkpointing=False)  # fmt: skip
    if not endless:
        trainer.fit(made, Data())
        return
    with pytest.raises(
        InputError, match=r"nothing says how many there are; say trainer.max_epochs"
    ):
        trainer.fit(made, Data())
    made.scheduler = None  # the remedy
    trainer.should_stop = True
    trainer.fit(made, Data())


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


def test_a_seed_that_no_generator_takes_is_refused():
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=f"model.seed={seed}; give 0 or more, and 4294967295"):
            SegmentationModule(nn.Identity(), {"liver": 1}, seed=seed)


def of_channels(organs, activation):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, len(organs), 1)]
    make = partial(torch.optim.AdamW, lr=0.05)
    return SegmentationModule(
        nn.Sequential(*layers), organs, make, channels_last=False, activation=activation
    )


@pytest.mark.parametrize("organs", [{"corner": 2}, {"corner": 2, "box": 1}])
def test_behind_a_sigmoid_dice_and_maps_are_those_of_logits_above_zero(organs, tmp_path):
    stages, settings = {"enc1": "1", "head": "2"}, Settings(["grad_pam"], region="pred")
    flow = FlowCallback(
        stages=stages, folder=str(tmp_path / "flow"), settings=settings, cut_every=1, edges={},
        training_slices=torch.stack([item["image"] for item in Drawn()]), activation="sigmoid",
    )  # fmt: skip
    _, made = train(tmp_path, flow, made=of_channels(organs, "sigmoid"))
    for channel, (name, label) in enumerate(organs.items()):
        counts = {"a": [0, 0], "b": [0, 0]}
        for item in Drawn():
            with torch.no_grad():
                found = made.net(item["image"][None])[0, channel] > 0
            there = item["label"][0] == label
            counts[item["case"]][0] += 2 * int((found & there).sum())
            counts[item["case"]][1] += int(found.sum() + there.sum())
        dice = sum(both / all_ for both, all_ in counts.values()) / 2
        assert 0 < dice < 1
        assert made.organ_dice[name] == pytest.approx(dice)
    record = flow.explained.record
    assert torch.equal(record.flow.prediction, made.net(record.scene.image) > 0)
    apart = {name: Organ(channel, organs[name]) for channel, name in enumerate(organs)}
    assert record.scene.channels == apart
    for named in (organs, apart):
        known = replace(settings, activation="sigmoid")
        again = explain_probes(made.net, stages, flow.probes, named, known, epoch=3)
        assert torch.equal(again.record.flow.maps["enc1"], record.flow.maps["enc1"])
    assert flow.cuts.necessity.data["dice"].shape == (2, len(organs), len(flow.probes))


def test_an_unknown_activation_is_named():
    with pytest.raises(InputError, match=r"no model.activation 'relu'; allowed are softmax, sigm"):
        of_channels({"box": 1}, "relu")
