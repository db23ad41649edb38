"""The callback leaves no mark on a training, in our module or in anybody's."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from helpers.tags import expected_tags
from segtrace import FlowCallback, InputError
from segtrace.data.probes import Probes
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings
from segtrace.tracking.history import timelines
from segtrace.training.callbacks.choosing import organs_of


class Backbone(nn.Module):
    """A two-level U-Net with dropout and batch normalisation whose output is a tuple."""

    def __init__(self, dims=2):
        super().__init__()
        conv, norm, pool = (
            getattr(nn, f"{kind}{dims}d") for kind in ("Conv", "BatchNorm", "MaxPool")
        )
        self.down = nn.Sequential(conv(1, 4, 3, padding=1), norm(4), nn.ReLU())
        self.deep = nn.Sequential(pool(2), conv(4, 8, 3, padding=1), nn.ReLU())
        self.drop = nn.Dropout(0.3)
        self.up = nn.Upsample(scale_factor=2)
        self.last = conv(12, 3, 1)

    def forward(self, x):
        fine = self.down(x)
        joined = torch.cat([fine, self.up(self.drop(self.deep(fine)))], 1)
        return self.last(joined), "something else"


class TheirModule(pl.LightningModule):
    """A Lightning module written without segtrace."""

    def __init__(self, backbone=Backbone):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = backbone()
        self.steps = 0

    def training_step(self, batch, batch_idx):
        self.steps += self.training
        image, label = batch
        return nn.functional.cross_entropy(self.backbone(image)[0], label)

    def validation_step(self, batch, batch_idx):
        self.training_step(batch, batch_idx)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def loader(shuffle, planes=()):
    random = torch.Generator().manual_seed(0)
    label = torch.zeros(6, *planes, 16, 16, dtype=torch.long)
    label[1:, ..., 2:7, 2:7] = 1
    label[2:, ..., 9:14, 9:14] = 2
    image = label[:, None] / 2 + 0.1 * torch.randn(6, 1, *planes, 16, 16, generator=random)
    return DataLoader(TensorDataset(image, label), batch_size=2, shuffle=shuffle)


def probes_of(images, labels):
    n = len(images)
    spacing = torch.full((n, 2), torch.nan, dtype=torch.float64)
    return Probes(images, labels.to(torch.uint8), ("a", "b", "b")[:n], tuple(range(n)), spacing,
                  "val", False)  # fmt: skip


STAGES = {"enc1": "down", "enc2": "deep", "head": "last"}
ORGANS = {"box": 1, "corner": 2}
RULES = ("seg_grad_cam", "grad_pam")


def watch(**options):
    options = {"net": "backbone", "stages": STAGES, "organs": ORGANS} | options
    return FlowCallback(output=lambda out: out[0], **options)


def fit(folder, callbacks, epochs=2, val=True, module=None, ckpt_path=None, planes=(), **options):
    torch.manual_seed(1)
    module = module or TheirModule()
    trainer = pl.Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        logger=TensorBoardLogger(folder, name="", version="tb"),
        default_root_dir=folder,
        accelerator="cpu",
        accumulate_grad_batches=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **options,
    )
    validation = loader(shuffle=False, planes=planes) if val else None
    trainer.fit(module, loader(shuffle=True, planes=planes), validation, ckpt_path=ckpt_path)
    return module


class Checkpointed(Backbone):
    """Re-entrant activation checkpointing, also in evaluation."""

    def forward(self, x):
        x = x.requires_grad_()
        fine = checkpoint(self.down, x, use_reentrant=True)
        deep = checkpoint(self.deep, fine, use_reentrant=True)
        return self.last(torch.cat([fine, self.up(deep)], 1)), "something else"


class OneChannel(Backbone):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(12, 1, 1)

    def forward(self, x):
        logits, more = super().forward(x)
        return logits if not self.training else logits.expand(-1, 3, -1, -1), more


class Detaches(Backbone):
    def forward(self, x):
        logits, more = super().forward(x)
        return logits if self.training else logits.detach(), more


REFUSED = {
    "re-entrant checkpointing": (Checkpointed, "re-entrant .*; say use_reentrant=False"),
    "other channels": (OneChannel, "named by their label and the network has 1 channels"),
    "a detached output": (Detaches, "no gradient leads from the logits"),
}


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
class TestInAnybodysModule:
    def test_final_weights_are_bit_identical_with_and_without_it(self, tmp_path):
        with_it = fit(tmp_path / "with", [watch()]).state_dict()
        without = fit(tmp_path / "without", []).state_dict()
        assert all(torch.equal(with_it[name], without[name]) for name in without)
        assert without["backbone.down.1.running_mean"].abs().sum() > 0  # it did train

    def test_patches_of_volumes_are_watched_and_cut_without_a_mark_too(self, tmp_path):
        def trained(name, callbacks):
            module = TheirModule(partial(Backbone, 3))
            return fit(tmp_path / name, callbacks, module=module, planes=(4,)).state_dict()

        patches = torch.cat([image for image, _ in loader(shuffle=False, planes=(4,))])
        edges = {"up_1": {"stage": "head", "module": "up"}}
        callback = watch(
            probes=3, cut_every=2, training_slices=patches, edges=edges,
            settings=Settings(list(RULES), measures="all"),
        )  # fmt: skip
        with_it, without = trained("with", [callback]), trained("without", [])
        assert all(torch.equal(with_it[name], without[name]) for name in without)
        flow = callback.explained.record.flow
        assert flow.maps["enc2"].shape == (2, 2, 3, 2, 8, 8)
        folder = tmp_path / "with" / "tb" / "flow"
        rows = [row for row in read_table(folder / "measures.csv") if row["status"] != "absent"]
        assert {float(row["area"]) for row in rows} == {25 / 256}
        gains = [float(row["gain"]) for row in rows if row["status"] == "ok"]
        assert gains
        assert np.isfinite(gains).all()
        for name in ("epoch_002/overview.png", "epoch_002/grad_pam/box.png", "leakage.csv",
                     "necessity.csv", "epoch_002/necessity.png"):  # fmt: skip
            assert (folder / name).exists()

    def test_it_logs_the_expected_tags_and_no_others(self, tmp_path):
        fit(tmp_path, [watch()])
        tags = EventAccumulator(str(tmp_path / "tb")).Reload().Tags()
        expected = expected_tags(rules=RULES, organs=ORGANS)
        theirs = {"hp_metric", "_hparams_/experiment"}
        assert {*tags["images"], *tags["scalars"], *tags["tensors"]} - theirs == expected

    def test_it_writes_what_it_logs_as_files(self, tmp_path):
        fit(tmp_path, [watch()])
        folder = tmp_path / "tb" / "flow"
        files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        pictures = {(0, r) for r in RULES} | {(1, "seg_grad_cam")} | {(2, r) for r in RULES}
        expected = {f"epoch_{e:03d}/{r}/{o}.png" for e, r in pictures for o in ORGANS}
        expected |= {f"epoch_{e:03d}/overview.png" for e in range(3)}
        expected |= {f"epoch_{e:03d}/leak/{r}/{s}.png" for e in (0, 2) for r in RULES
                     for s in STAGES}  # fmt: skip
        expected |= {f"epoch_{e:03d}/events/{r}.txt" for e in (0, 2) for r in RULES}
        expected |= {f"timeline/{m}/{r}/{o}.png" for m, r in timelines(RULES) for o in ORGANS}
        tables = {f"{name}.csv" for name in
                  ("measures", "timeline", "depth", "leakage", "emergence")}  # fmt: skip
        assert files == expected | tables

    def test_every_number_stands_beside_the_untrained_networks(self, tmp_path):
        fit(tmp_path, [watch()])
        rows = read_table(tmp_path / "tb" / "flow" / "timeline.csv")
        assert len(rows) == 3 * len(RULES) * len(ORGANS) * len(STAGES)
        where = ("rule", "organ", "stage")
        start = {tuple(row[key] for key in where): row for row in rows if row["epoch"] == "0"}
        for row in rows:
            first = start[tuple(row[key] for key in where)]
            for measure in ("gain", "kappa", "magnitude", "mass"):
                assert row[f"{measure}_untrained"] == first[measure]
            assert row["echo"] == str(float(first["mass"]) >= 0.5)

    def test_pictures_come_as_often_as_asked_and_numbers_every_epoch(self, tmp_path):
        options = {"draw_every": {"seg_grad_cam": 2, "charts": 3}}
        fit(tmp_path, [watch(**options, settings=Settings(RULES, measures="all"))], epochs=5)
        events = EventAccumulator(str(tmp_path / "tb")).Reload()

        def steps(tag):
            return [event.step for event in events.Images(tag)]

        assert steps("2_flow/1_seg_grad_cam/box") == [0, 2, 4, 5]
        assert steps("2_flow/2_grad_pam/box") == [0, 5]
        assert steps("3_timeline/gain/1_seg_grad_cam/box") == [0, 3, 5]
        assert steps("5_leak/density/1_seg_grad_cam/head") == [0, 3, 5]
        charted = [event.step for event in events.Scalars("z_measure/gain/grad_pam/box/head")]
        assert charted == [0, 1, 2, 3, 4, 5]

    def test_epoch_zero_is_the_untrained_network_and_the_last_epoch_is_there(self, tmp_path):
        fit(tmp_path, [watch(every_n_epochs=2)], epochs=3)
        epochs = [row["epoch"] for row in read_table(tmp_path / "tb" / "flow" / "measures.csv")]
        assert list(dict.fromkeys(epochs)) == ["0", "2", "3"]

    def test_averaged_weights_are_what_is_explained(self, tmp_path):
        averaging = WeightAveraging(avg_fn=lambda average, current, n: average * 0.5)
        callback = watch()
        fit(tmp_path, [averaging, callback], epochs=1)
        averaged = averaging._average_model.module.backbone.eval()
        truth = callback.probes.labels == 1
        with torch.no_grad():
            logits = averaged(callback.probes.images)[0]
        scores = (logits[:, 1] * truth).sum((1, 2))
        torch.testing.assert_close(callback.explained.record.flow.scores[0], scores)

    def test_a_network_that_is_not_there_is_named_before_any_work(self, tmp_path):
        with pytest.raises(
            InputError, match=r"no network 'net'; FlowCallback\(net=…\) can be backbone"
        ):
            fit(tmp_path, [watch(net="net")])

    @pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
    def test_without_validation_data_it_says_what_to_give(self, tmp_path):
        with pytest.raises(InputError, match="no validation loader; give probes"):
            fit(tmp_path, [watch()], val=False)

    @pytest.mark.parametrize("name", REFUSED)
    def test_a_network_that_cannot_be_explained_is_named_before_the_first_step(
        self, tmp_path, name
    ):
        backbone, message = REFUSED[name]
        module = TheirModule(backbone)
        # Nothing is predicted at first: only what is looked at before a backward pass shows it.
        settings = Settings(rules=["grad_pam"], region="pred")
        with pytest.raises(InputError, match=message):
            fit(tmp_path, [watch(settings=settings)], module=module)
        assert module.steps == 0

    def test_it_is_named_as_well_before_the_first_step_of_a_training_that_goes_on(self, tmp_path):
        path = tmp_path / "last.ckpt"
        saving = pl.callbacks.LambdaCallback(
            on_train_end=lambda trainer, _module: trainer.save_checkpoint(path)
        )
        fit(tmp_path, [saving], epochs=1)
        module = TheirModule(Checkpointed)
        with pytest.raises(InputError, match="use_reentrant=False"):
            fit(tmp_path / "again", [watch()], module=module, ckpt_path=path)
        assert module.steps == 0

    @pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*", "ignore:.*validation_step.*")
    def test_slices_that_are_handed_over_need_no_loader(self, tmp_path):
        images, labels = zip(*loader(shuffle=False), strict=True)
        callback = watch(probes=probes_of(torch.cat(images)[3:], torch.cat(labels)[3:]))
        fit(tmp_path, [callback], epochs=1, val=False)
        assert callback.explained.record.scene.cases == ("a", "b", "b")

    def test_an_organ_without_a_channel_of_its_own_is_refused(self, tmp_path):
        settings = Settings(rules=["seg_grad_cam"], organs=["liver"])
        with pytest.raises(InputError, match="no organ 'liver'; this network has box, corner"):
            fit(tmp_path, [watch(settings=settings)])

    def test_without_tensorboard_it_warns_and_writes_files(self, tmp_path):
        module = TheirModule()
        trainer = pl.Trainer(max_epochs=1, callbacks=[watch()], logger=False, accelerator="cpu",
                             default_root_dir=tmp_path, enable_progress_bar=False,
                             enable_model_summary=False, enable_checkpointing=False)  # fmt: skip
        with pytest.warns(UserWarning, match="found no logger that shows"):
            trainer.fit(module, loader(shuffle=True), loader(shuffle=False))
        assert (tmp_path / "flow" / "epoch_001" / "grad_pam" / "box.png").is_file()

    def test_several_in_one_trainer_each_keep_a_record_of_their_own(self, tmp_path):
        def both():
            named = {"probes": 2, "settings": Settings(rules=["grad_pam"])}
            return [watch(folder=str(tmp_path / name), stages={name: STAGES[name]}, **named)
                    for name in ("enc1", "enc2")]  # fmt: skip

        saving = pl.callbacks.LambdaCallback(
            on_train_end=lambda trainer, _module: trainer.save_checkpoint(tmp_path / "last.ckpt")
        )
        fit(tmp_path, [*both(), saving], epochs=1)
        saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
        records = [saved[key]["history"] for key in saved if key.startswith("FlowCallback-")]
        assert sorted(record["stages"] for record in records) == [("enc1",), ("enc2",)]
        logged = EventAccumulator(str(tmp_path / "tb")).Reload().Images("1_overview")
        assert [event.step for event in logged] == [0, 1]  # of the first alone
        fit(tmp_path, both(), epochs=2, ckpt_path=tmp_path / "last.ckpt")
        for name in ("enc1", "enc2"):
            rows = read_table(tmp_path / name / "measures.csv")
            assert {(row["epoch"], row["stage"]) for row in rows} == {(e, name) for e in "012"}

    def test_two_that_share_a_folder_are_one_line(self, tmp_path):
        for folder in (None, str(tmp_path / "same")):
            with pytest.raises(
                InputError, match=r"two FlowCallbacks write into .*; give each a fol"
            ):
                fit(tmp_path, [watch(folder=folder), watch(folder=folder, net="backbone.down")])


def test_channels_that_a_module_names_are_plain_numbers():
    module = TheirModule()
    module.organs = {"box": np.int64(1)}
    for callback in (watch(organs=None), watch(organs=module.organs)):
        assert type(organs_of(module, callback.organs)["box"]) is int


def test_labels_of_slices_that_are_handed_over_are_read_as_whole_numbers():
    images, labels = zip(*loader(shuffle=False), strict=True)
    images, labels = torch.cat(images)[3:], torch.cat(labels)[3:]
    near = replace(probes_of(images, labels), labels=labels * 0.99995)
    assert torch.equal(watch(probes=near).probes.labels, labels)
    with pytest.raises(InputError, match=r"probes.labels holds 0.5; a label map is made of whole"):
        watch(probes=replace(near, labels=labels * 0.5))


def test_drawing_less_often_than_every_epoch_is_a_whole_number_of_epochs():
    with pytest.raises(InputError, match=r"draw_every\.grad_pam=0; give 1 or more"):
        FlowCallback(draw_every={"grad_pam": 0})


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
@pytest.mark.parametrize("name", ["mean", "all"])
def test_an_organ_named_as_something_else_is_refused_before_any_work(tmp_path, name):
    module = {"organs": None, "probes": 2}
    with pytest.raises(InputError, match=f"organ '{name}': in tables and charts"):
        fit(tmp_path / "given", [watch(organs={name: 1, "corner": 2})])
    assert not list(tmp_path.rglob("flow"))
    TheirModule.organs = {name: 1}
    try:
        with pytest.raises(InputError, match=f"organ '{name}': in tables and charts"):
            fit(tmp_path / "own", [watch(**module)])
    finally:
        del TheirModule.organs
    assert not list(tmp_path.rglob("flow"))


def test_what_is_drawn_less_often_is_a_rule_or_the_charts():
    with pytest.raises(
        InputError, match=r"no drawing 'draw_every\.grad_kam'; allowed are .*charts"
    ):
        FlowCallback(draw_every={"grad_kam": 3})
    FlowCallback(draw_every={"charts": 2, "layer_cam": 3})


def test_an_interval_below_one_is_refused():
    with pytest.raises(InputError, match="every_n_epochs=0; give 1 or more, or auto"):
        FlowCallback(every_n_epochs=0)


def test_the_interval_keeps_explaining_under_a_twentieth_of_the_training(capsys):
    callback = FlowCallback(every_n_epochs="auto")
    callback._watch.adapt(cost=2.0, training=10.0)
    assert callback._watch.interval == 4  # 2 s in every 40 s are 5 %
    assert "every 4 epochs from here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"history": None, "drawn": {}},
        {"history": {"epochs": []}, "drawn": {}},
        {"history": "text", "drawn": {}},
        {"newer": 1},
    ],
)
def test_a_record_of_past_epochs_that_is_none_is_one_line(odd):
    with pytest.raises(InputError, match="record of the epochs so far cannot be taken up"):
        watch().load_state_dict(odd)


def test_a_record_with_more_than_this_version_knows_is_one_line():
    state = watch().state_dict()
    state["history"]["colour"] = "red"
    with pytest.raises(InputError, match="holds 'colour', which this version does not know"):
        watch().load_state_dict(state)


class Normalised(Backbone):
    """Instance normalisation before the last convolution."""

    def __init__(self):
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.InstanceNorm2d(8))
        self.down.append(nn.InstanceNorm2d(4))


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*")
def test_what_normalisation_makes_void_is_said_once_and_the_other_rule_leads(tmp_path, capsys):
    stages = {"enc1": "down.2", "enc2": "deep", "head": "last"}
    callback = watch(stages=stages)
    fit(tmp_path, [callback], module=TheirModule(Normalised))
    assert capsys.readouterr().out.count("At 2 of 3 stages Seg-Grad-CAM is void") == 1
    assert callback.explained.record.flow.rules == ("grad_pam", "seg_grad_cam")
    timeline = tmp_path / "tb" / "flow" / "timeline" / "gain"
    assert {path.name for path in timeline.iterdir()} == {"grad_pam", "seg_grad_cam"}
    tags = EventAccumulator(str(tmp_path / "tb")).Reload().Tags()["images"]
    assert [tag for tag in tags if tag.startswith("3_")] == [
        "3_timeline/gain/2_grad_pam/box", "3_timeline/gain/2_grad_pam/corner",
    ]  # fmt: skip
