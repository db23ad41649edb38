"""What the callback has seen belongs to one fit: begun anew, gone on with, mixed with nothing."""

import copy
import pickle
import shutil

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from segtrace import FlowCallback, InputError
from segtrace.report.tables import read_table
from training.slices.test_validation_batches import Net, slice_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
    "ignore:.*Checkpoint directory .* exists and is not empty.*",
)
STAGES = {"enc1": "1", "head": "2"}


def loader(*rows):
    images, labels = zip(*map(slice_of, rows), strict=True)
    return DataLoader(TensorDataset(torch.stack(images).float(), torch.stack(labels)), batch_size=2)


FOLDS = [loader(0, 1, 2, 3), loader(4, 5, 6, 7)]


def trainer(folder, *callbacks, epochs=1, **options):
    return pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), logger=False,
                      default_root_dir=folder, accelerator="cpu", enable_progress_bar=False,
                      enable_model_summary=False, num_sanity_val_steps=0,
                      **{"enable_checkpointing": False} | options)  # fmt: skip


def flow(folder=None, **options):
    return FlowCallback(stages=STAGES, folder=folder and str(folder), **options)


def epochs_of(folder, name="measures.csv"):
    return list(dict.fromkeys(int(row["epoch"]) for row in read_table(folder / name)))


def fit(folder, callback, fold=0, **options):
    made = trainer(folder, callback, **options)
    made.fit(Net(), FOLDS[1 - fold], FOLDS[fold])
    return made


def test_one_object_that_serves_two_trainers_sees_each_folds_own_slices(tmp_path):
    """As k-fold does it: with the first fold's slices the second would be shown training data."""
    shared = flow()
    seen = []
    for fold in range(2):
        fit(tmp_path / str(fold), shared, fold, epochs=2)
        seen.append(shared.probes)
        alone = flow()
        fit(tmp_path / f"alone {fold}", alone, fold, epochs=2)
        assert torch.equal(shared.probes.images, alone.probes.images)
        for name in ("measures.csv", "timeline.csv", "leakage.csv", "emergence.csv"):
            one, other = tmp_path / str(fold) / "flow", tmp_path / f"alone {fold}" / "flow"
            assert (one / name).read_bytes() == (other / name).read_bytes()
    assert not torch.equal(seen[0].labels, seen[1].labels)


def test_another_module_of_the_same_trainer_is_another_fit(tmp_path):
    shared = flow(tmp_path / "flow")
    made = fit(tmp_path, shared)
    first = shared.probes
    shutil.rmtree(tmp_path / "flow")
    made.fit_loop.max_epochs = 2
    made.fit(Net(), FOLDS[0], FOLDS[1])
    assert not torch.equal(shared.probes.labels, first.labels)
    assert_unseen_before(tmp_path / "flow", 2)


def assert_unseen_before(folder, epoch):
    """Nothing of an earlier epoch is known, least of all of another network's."""
    rows = read_table(folder / "timeline.csv")
    assert {row["epoch"] for row in rows} == {str(epoch)}
    assert {row["gain_untrained"] for row in rows} == {"nan"}


def test_a_second_fit_of_the_same_trainer_goes_on(tmp_path):
    shared, module = flow(tmp_path / "flow"), Net()
    made = trainer(tmp_path, shared)
    made.fit(module, *FOLDS)
    made.fit_loop.max_epochs = 3
    made.fit(module, *FOLDS)
    whole = flow(tmp_path / "whole")
    trainer(tmp_path, whole, epochs=3).fit(Net(), *FOLDS)
    for name in ("measures.csv", "timeline.csv", "emergence.csv"):
        assert (tmp_path / "flow" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert epochs_of(tmp_path / "flow") == [0, 1, 2, 3]
    assert epochs_of(tmp_path / "flow", "leakage.csv") == [0, 1, 3]  # 1 was the last once


@pytest.mark.parametrize("used", [False, True])
def test_a_resumed_checkpoint_goes_on_in_a_new_object_and_in_a_used_one(tmp_path, used):
    first = flow(tmp_path / "flow")
    made = fit(tmp_path, first, epochs=2)
    made.save_checkpoint(tmp_path / "last.ckpt")
    second = flow(tmp_path / "flow")
    if used:
        fit(tmp_path / "elsewhere", flow_of := flow(tmp_path / "other"), fold=1)
        second = flow_of
        second.folder = str(tmp_path / "flow")
    again = trainer(tmp_path, second, epochs=3)
    again.fit(Net(), FOLDS[1], FOLDS[0], ckpt_path=tmp_path / "last.ckpt")
    whole = flow(tmp_path / "whole")
    fit(tmp_path, whole, epochs=3)
    for name in ("measures.csv", "timeline.csv", "emergence.csv"):
        assert (tmp_path / "flow" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert torch.equal(second.probes.labels, first.probes.labels)


class Overlapping(Net):
    """Learns a channel for every organ, on masks."""

    def training_step(self, batch, batch_idx):
        return nn.functional.binary_cross_entropy_with_logits(self.net(batch[0]), batch[1].float())

    validation_step = training_step


def test_a_training_behind_a_sigmoid_goes_on_as_if_it_had_not_stopped(tmp_path):
    pairs = [fold.dataset.tensors for fold in FOLDS]
    both = [torch.stack([label, label.roll(2, 1)], 1) for _, label in pairs]  # they overlap
    masks = [DataLoader(TensorDataset(x, y), 2) for (x, _), y in zip(pairs, both, strict=True)]
    organs = {"a": {"channel": 0, "label": 1}, "b": {"channel": 1, "label": 2}}

    def watched(folder, epochs, ckpt_path=None):
        options = {"cut_every": 1, "training_slices": pairs[0][0], "edges": {}}
        callback = flow(folder, organs=organs, activation="sigmoid", **options)
        made = trainer(tmp_path, callback, epochs=epochs)
        made.fit(Overlapping(), *masks, ckpt_path=ckpt_path)
        return made

    watched(tmp_path / "flow", 1).save_checkpoint(tmp_path / "last.ckpt")
    watched(tmp_path / "flow", 2, tmp_path / "last.ckpt")
    watched(tmp_path / "whole", 2)
    for name in ("measures.csv", "timeline.csv", "emergence.csv", "necessity.csv"):
        assert (tmp_path / "flow" / name).read_text() == (tmp_path / "whole" / name).read_text()
    assert (
        epochs_of(tmp_path / "flow") == epochs_of(tmp_path / "flow", "necessity.csv") == [0, 1, 2]
    )


def test_a_checkpoint_that_knows_nothing_of_it_is_no_reason_to_go_on_with_another_fit(tmp_path):
    plain = trainer(tmp_path, epochs=2)
    plain.fit(Net(), *FOLDS)
    plain.save_checkpoint(tmp_path / "plain.ckpt")
    shared, module = flow(tmp_path / "flow"), Net()
    made = trainer(tmp_path, shared, epochs=1)
    made.fit(module, *FOLDS)
    made.fit_loop.max_epochs = 3
    shared.folder = str(tmp_path / "new")
    made.fit(module, *FOLDS, ckpt_path=tmp_path / "plain.ckpt")
    assert_unseen_before(tmp_path / "new", 3)


def test_a_training_that_goes_on_is_watched_on_the_same_slices(tmp_path):
    made = fit(tmp_path, flow(tmp_path / "flow"), fold=0)
    made.save_checkpoint(tmp_path / "last.ckpt")
    again = trainer(tmp_path, flow(tmp_path / "flow"), epochs=2)
    with pytest.raises(InputError, match="was watched on other slices"):
        again.fit(Net(), FOLDS[0], FOLDS[1], ckpt_path=tmp_path / "last.ckpt")


def test_it_can_be_copied_and_sent_to_another_process_after_a_fit(tmp_path):
    used = flow(tmp_path / "flow")
    fit(tmp_path, used)
    for other in (copy.deepcopy(used), pickle.loads(pickle.dumps(used))):
        other.folder = str(tmp_path / f"flow of {id(other)}")
        fit(tmp_path, other, fold=1)
        assert not torch.equal(other.probes.labels, used.probes.labels)


class TestAFolder:
    """A folder holds the results of one run."""

    def test_is_refused_where_another_fit_has_written(self, tmp_path):
        fit(tmp_path, flow(tmp_path / "flow"), epochs=2)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError, match=r"flow holds results of another run \(measures.csv\)"):
            fit(tmp_path, flow(tmp_path / "flow"), epochs=1)
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize(
        "left",
        ["epoch_007/grad_pam/box.png", "epoch_000/layer_cam/box.png", "emergence.csv",
         "epoch_003/necessity.png"],
    )  # fmt: skip
    def test_is_refused_where_a_single_picture_is_left(self, tmp_path, left):
        path = tmp_path / "flow" / left
        path.parent.mkdir(parents=True)
        path.write_bytes(b"old")
        with pytest.raises(InputError, match="holds results of another run"):
            fit(tmp_path, flow(tmp_path / "flow"))
        assert path.read_bytes() == b"old"

    def test_is_refused_by_a_resumed_run_whose_it_is_not(self, tmp_path):
        made = fit(tmp_path, flow(tmp_path / "flow"), fold=0)
        made.save_checkpoint(tmp_path / "last.ckpt")
        fit(tmp_path, flow(tmp_path / "other"), fold=1)
        again = trainer(tmp_path, flow(tmp_path / "other"), epochs=2)
        with pytest.raises(InputError, match="other holds results of another run"):
            again.fit(Net(), FOLDS[1], FOLDS[0], ckpt_path=tmp_path / "last.ckpt")

    def test_may_be_a_new_one_for_a_run_that_goes_on(self, tmp_path):
        made = fit(tmp_path, flow(tmp_path / "flow"))
        made.save_checkpoint(tmp_path / "last.ckpt")
        again = trainer(tmp_path, flow(tmp_path / "new"), epochs=2)
        again.fit(Net(), FOLDS[1], FOLDS[0], ckpt_path=tmp_path / "last.ckpt")
        assert epochs_of(tmp_path / "new") == [2]

    def test_may_hold_what_is_not_ours(self, tmp_path):
        (tmp_path / "flow" / "epoch_notes").mkdir(parents=True)
        (tmp_path / "flow" / "notes.txt").write_text("mine")
        fit(tmp_path, flow(tmp_path / "flow"))
        assert (tmp_path / "flow" / "notes.txt").read_text() == "mine"

    def test_of_a_fit_that_broke_off_before_its_first_epoch_is_made_anew(self, tmp_path):
        class Breaking(Net):
            def training_step(self, batch, batch_idx):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            trainer(tmp_path, flow(tmp_path / "flow")).fit(Breaking(), *FOLDS)
        assert epochs_of(tmp_path / "flow") == [0]
        trainer(tmp_path, flow(tmp_path / "flow")).fit(Net(), *FOLDS)
        trainer(tmp_path, flow(tmp_path / "whole")).fit(Net(), *FOLDS)
        assert_same(tmp_path / "flow", tmp_path / "whole")

    def test_loses_what_comes_after_the_epoch_that_a_run_goes_on_from(self, tmp_path):
        """Pictures as well as rows: the run may end before it, or draw other epochs."""
        made = fit(tmp_path, flow(tmp_path / "flow"), epochs=1)
        made.save_checkpoint(tmp_path / "last.ckpt")
        longer = trainer(tmp_path, flow(tmp_path / "flow"), epochs=4)
        longer.fit(Net(), FOLDS[1], FOLDS[0], ckpt_path=tmp_path / "last.ckpt")
        assert (tmp_path / "flow" / "epoch_004").is_dir()
        again = trainer(tmp_path, flow(tmp_path / "flow"), epochs=2)
        again.fit(Net(), FOLDS[1], FOLDS[0], ckpt_path=tmp_path / "last.ckpt")
        assert epochs_of(tmp_path / "flow") == [0, 1, 2]
        assert {path.name for path in (tmp_path / "flow").glob("epoch_*")} == {
            f"epoch_{epoch:03d}" for epoch in range(3)
        }


def assert_same(one, other):
    names = [{p.relative_to(f) for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
