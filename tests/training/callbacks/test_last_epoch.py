"""The last epoch is explained, once and whole, whatever ends the training; none before is."""

import os
import signal
from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

from segtrace import FlowCallback
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings, explain_probes
from segtrace.training.callbacks.checkpoints import EpochCheckpoints
from training.callbacks.test_watch import FOLDS, STAGES, assert_same, trainer
from training.slices.test_validation_batches import Net

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*",
    "ignore:.*LeafSpec.*",
    "ignore:.*no logger that shows.*",
)
RULES = ["seg_grad_cam", "grad_pam"]
STEP = "segtrace.training.callbacks.flow.explain_probes"


class Logging(Net):
    def validation_step(self, batch, batch_idx):
        self.log("loss", 1.0)  # never better, so that early stopping stops


def flow(folder, **options):
    """Draws and cuts the first epoch and the last alone."""
    rarely = dict.fromkeys([*RULES, "charts", "overview"], 99)
    options = {"cut_every": None, "draw_every": rarely} | options
    return FlowCallback(stages=STAGES, folder=str(folder), settings=Settings(RULES),
                        **options)  # fmt: skip


class At(pl.Callback):
    """Does something in the middle of the third pass, after its first batch."""

    def __init__(self, do, hook="on_train_batch_end", epoch=2):
        self.do, self.epoch = do, epoch
        setattr(self, hook, self.run)

    def run(self, trainer, pl_module, *_):
        if trainer.current_epoch == self.epoch:
            self.do(trainer)


def stop(trainer):
    trainer.should_stop = True


def interrupt(trainer):
    raise KeyboardInterrupt


def terminate(trainer):
    os.kill(os.getpid(), signal.SIGTERM)


class StopsLate(Logging):
    """Asks for the end when the callbacks have had their turn."""

    def on_train_epoch_end(self):
        self.trainer.should_stop = self.current_epoch == 2


class Skipping(Logging):
    """Gives up the rest of the third pass, and with it the training."""

    def on_train_batch_start(self, batch, batch_idx):
        if self.current_epoch == 2 and batch_idx == 1:
            self.trainer.should_stop = True
            return -1
        return None


class Worse(pl.Callback):
    """Puts other weights in place when the training ends, as restoring the best ones does."""

    def on_train_end(self, trainer, pl_module):
        for parameter in pl_module.parameters():
            parameter.data.zero_()


EARLY = {"monitor": "loss", "patience": 1, "verbose": False}
ENDS = {
    "max_epochs": ({"epochs": 3}, [], 3),
    "max_steps": ({"epochs": None, "max_steps": 5}, [], 3),
    "max_steps of whole passes": ({"epochs": -1, "max_steps": 6}, [], 3),
    "max_steps before max_epochs": ({"epochs": 7, "max_steps": 4}, [], 2),
    "half passes": ({"epochs": 2, "limit_train_batches": 1}, [], 2),
    "early stopping": ({"epochs": 9}, [lambda: EarlyStopping(**EARLY)], 2),
    "early stopping on validation": (
        {"epochs": 9}, [lambda: EarlyStopping(**EARLY, check_on_train_epoch_end=False)], 2),
    "early stopping, not before the fourth": (
        {"epochs": 9, "min_epochs": 4}, [lambda: EarlyStopping(**EARLY)], 4),
    "early stopping, not before the seventh step": (
        {"epochs": 9, "min_steps": 7}, [lambda: EarlyStopping(**EARLY)], 4),
    "a stop within a pass": ({"epochs": 9}, [lambda: At(stop)], 3),
    "a stop at an epoch's end": ({"epochs": 9}, [lambda: At(stop, "on_train_epoch_end", 1)], 2),
    "a stop at a start": ({"epochs": 9}, [lambda: At(stop, "on_train_epoch_start", 2)], 3),
    "no time left": ({"epochs": 9, "max_time": timedelta(0), "min_epochs": 2}, [], 2),
    "an end that changes the weights": (
        {"epochs": 9}, [lambda: EarlyStopping(**EARLY), Worse], 2),
}  # fmt: skip


def rows(folder, name):
    """Of a table, as texts."""
    return [tuple(row.values()) for row in read_table(folder / name)]


def epochs_of(folder, name="measures.csv"):
    return list(dict.fromkeys(int(row["epoch"]) for row in read_table(folder / name)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every epoch of a training without an end in sight."""
    folder = tmp_path_factory.mktemp("whole")
    trainer(folder, flow(folder / "flow"), epochs=5).fit(Logging(), *FOLDS)
    return folder / "flow"


def assert_last_is(folder, last, whole, every, partial=False):
    """Explained, once, drawn, charted, and told of in the table that ends it all."""
    explained = [epoch for epoch in range(last) if epoch % every == 0] + [last]
    assert epochs_of(folder) == explained
    table = rows(folder, "measures.csv")
    assert len(table) == len(set(table))
    if not partial:
        assert table == [row for row in rows(whole, "measures.csv") if int(row[0]) in explained]
    assert epochs_of(folder, "leakage.csv") == [0, last]
    assert len(rows(folder, "leakage.csv")) == len(set(rows(folder, "leakage.csv")))
    assert {row["last_epoch"] for row in read_table(folder / "emergence.csv")} == {str(last)}
    drawn = {path.name for path in folder.glob("epoch_*")}
    assert drawn == {"epoch_000", f"epoch_{last:03d}"}
    for epoch in drawn:
        held = {path.name for path in (folder / epoch).iterdir()}
        assert held == {*RULES, "leak", "events", "overview.png"}


PARTIAL = {"max_steps", "half passes", "a stop within a pass", "a stop at a start",
           "early stopping, not before the seventh step"}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_the_training(tmp_path, whole, end):
    options, callbacks, last = ENDS[end]
    watch = flow(tmp_path / "flow", every_n_epochs=3)
    trainer(tmp_path, watch, *(make() for make in callbacks), **options).fit(Logging(), *FOLDS)
    assert_last_is(tmp_path / "flow", last, whole, 3, end in PARTIAL)


@pytest.mark.parametrize("module", [StopsLate, Skipping])
def test_a_module_ends_it(tmp_path, whole, module):
    trainer(tmp_path, flow(tmp_path / "flow"), epochs=9).fit(module(), *FOLDS)
    assert_last_is(tmp_path / "flow", 3, whole, 1, partial=module is Skipping)


def test_weights_of_a_broken_pass_are_explained_where_lightning_counts_it(tmp_path):
    watch, module = flow(tmp_path / "flow", every_n_epochs=9), Logging()
    trainer(tmp_path, watch, epochs=None, max_steps=5).fit(module, *FOLDS)
    with torch.no_grad():
        logits = module.net.eval()(watch.probes.images)
    scores = (logits[:, 1] * (watch.probes.labels == 1)).sum((1, 2))
    torch.testing.assert_close(watch.explained.record.flow.scores[0], scores)


@pytest.mark.parametrize(
    ("do", "error", "last"), [(interrupt, SystemExit, 2), (terminate, SystemExit, 2)]
)
@pytest.mark.parametrize("every", [1, 9])
def test_somebody_who_ends_it_within_a_pass_has_the_last_finished_one(
    tmp_path, whole, do, error, last, every
):
    watch = flow(tmp_path / "flow", every_n_epochs=every)
    made, module = trainer(tmp_path, watch, At(do), epochs=9), Logging()
    handlers = [signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)]
    try:
        with pytest.raises(error):
            made.fit(module, *FOLDS)
    finally:
        for which, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(which, handler)
    assert_last_is(tmp_path / "flow", last, whole, every)


def test_a_run_that_somebody_ended_goes_on_as_if_nobody_had(tmp_path):
    """What was made up for its end is taken back: rows, pictures and charts."""
    watch, keep = flow(tmp_path / "flow", every_n_epochs=3), EpochCheckpoints(str(tmp_path))
    made = trainer(tmp_path, watch, At(interrupt), keep, epochs=4, enable_checkpointing=True)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            made.fit(Logging(), *FOLDS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert epochs_of(tmp_path / "flow") == [0, 2]
    again = trainer(tmp_path, flow(tmp_path / "flow", every_n_epochs=3), epochs=4)
    again.fit(Logging(), *FOLDS, ckpt_path=tmp_path / "last.ckpt")
    trainer(tmp_path, flow(tmp_path / "alone", every_n_epochs=3), epochs=4).fit(Logging(), *FOLDS)
    assert_same(tmp_path / "flow", tmp_path / "alone")


def test_a_termination_at_an_epochs_end_has_that_epoch(tmp_path, whole):
    watch = flow(tmp_path / "flow", every_n_epochs=9)
    made = trainer(tmp_path, At(terminate, "on_validation_end", 1), watch, epochs=9)
    with pytest.raises(SystemExit):
        made.fit(Logging(), *FOLDS)
    assert_last_is(tmp_path / "flow", 2, whole, 9)


def test_who_interrupts_the_explaining_does_not_want_it_once_more(tmp_path, monkeypatch):
    watch = flow(tmp_path / "flow")
    made = trainer(tmp_path, watch, epochs=9)

    def broken(*network, epoch, **more):
        if epoch == 2:
            raise KeyboardInterrupt
        return explain_probes(*network, epoch=epoch, **more)

    monkeypatch.setattr(STEP, broken)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            made.fit(Logging(), *FOLDS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert epochs_of(tmp_path / "flow") == [0, 1]
    monkeypatch.setattr(STEP, explain_probes)
    other = trainer(tmp_path, watch, epochs=1)  # and it may serve again
    watch.folder = str(tmp_path / "other")
    other.fit(Logging(), *FOLDS)
    assert epochs_of(tmp_path / "other") == [0, 1]


def test_an_error_is_no_end(tmp_path):
    def fail(trainer):
        raise ZeroDivisionError

    watch = flow(tmp_path / "flow", every_n_epochs=9)
    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path, watch, At(fail), epochs=9).fit(Logging(), *FOLDS)
    assert epochs_of(tmp_path / "flow") == [0]
    assert not (tmp_path / "flow" / "emergence.csv").exists()


def test_the_last_is_cut_once_whatever_ends_the_training(tmp_path):
    slices = torch.cat([image for image, _ in FOLDS[1]])
    cutting = {"cut_every": 99, "training_slices": slices, "edges": {}}
    for name, options, callbacks in (
        ("early", {"epochs": 9}, [EarlyStopping(**EARLY)]),
        ("known", {"epochs": 2}, []),
    ):
        watch = flow(tmp_path / name, **cutting)
        trainer(tmp_path, watch, *callbacks, **options).fit(Logging(), *FOLDS)
        assert epochs_of(tmp_path / name, "necessity.csv") == [0, 2]
        assert watch.cuts.epoch == 2
    assert_same(tmp_path / "early", tmp_path / "known")


def test_what_was_drawn_already_is_not_drawn_once_more(tmp_path):
    often = dict.fromkeys([*RULES, "charts", "overview"], 1)
    for name, options, callbacks in (
        ("early", {"epochs": 9}, [EarlyStopping(**EARLY)]),
        ("known", {"epochs": 2}, []),
    ):
        watch = FlowCallback(stages=STAGES, folder=str(tmp_path / name), draw_every=often)
        trainer(tmp_path, watch, *callbacks, **options).fit(Logging(), *FOLDS)
    assert_same(tmp_path / "early", tmp_path / "known")


def test_weights_are_bit_identical_where_the_last_is_explained_from_a_copy(tmp_path):
    ends = []
    for callbacks in ([flow(tmp_path / "flow", every_n_epochs=9)], []):
        module = Logging()
        trainer(tmp_path, *callbacks, EarlyStopping(**EARLY), epochs=9).fit(module, *FOLDS)
        ends.append(module.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[1])
    assert epochs_of(tmp_path / "flow") == [0, 2]
