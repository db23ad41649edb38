"""A log is rewound to where a run goes on: no step of a tag twice, and none lost."""

import shutil
import time
from collections import Counter

import numpy as np
import pytest
from pytorch_lightning.loggers import CSVLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from helpers.tags import expected_tags, further_tags
from segtrace import InputError
from segtrace.report import logs
from segtrace.report.logs import Reached, rewind, rewind_table, spared
from segtrace.report.tensorboard import (
    LEARNING_RATE_TAG,
    add_hyperparameters,
    add_picture,
    add_scalars,
    add_text,
    events_tag,
    flow_tag,
)

RULES, ORGANS, STAGES = ("seg_grad_cam",), ("liver",), ("enc1", "head")


def points(folder):
    found = Counter()
    for path in sorted(folder.glob("events*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            found.update((value.tag, event.step) for value in event.summary.value)
    return found


def write(folder, epochs, batches):
    """What a run logs: by epoch and by batch, several tags in one event."""
    writer = SummaryWriter(str(folder))
    if 0 in epochs:
        add_hyperparameters(writer, {"seed": 0}, ["val/dice/mean"])
    for batch in batches:
        writer.add_scalar(LEARNING_RATE_TAG, 0.1, batch)
        writer.add_scalar("memory", 0.5, batch)
    for epoch in epochs:
        add_scalars(writer, {"val/dice/mean": 0.5, "train/loss": 0.1}, epoch)
        add_picture(writer, flow_tag("seg_grad_cam", "liver"), np.zeros((8, 8, 3), np.uint8), epoch)
        add_text(writer, events_tag("seg_grad_cam"), "none found", epoch)
    writer.close()


def test_after_going_on_every_step_of_every_tag_stands_once_and_none_is_missing(tmp_path):
    write(tmp_path / "whole", range(5), range(40))
    write(tmp_path / "broken", range(4), range(35))  # killed in the fourth pass
    rewind(tmp_path / "broken", Reached(epoch=2, batches=20))
    write(tmp_path / "broken", range(3, 5), range(20, 40))
    assert max(points(tmp_path / "broken").values()) == 1
    assert points(tmp_path / "broken") == points(tmp_path / "whole")


def test_where_the_clock_was_set_back_the_points_of_a_curve_stay_in_order(tmp_path, monkeypatch):
    now = time.time()
    for began, epochs in (
        (now + 900, range(2)),
        (now + 1000, range(2, 4)),
        (now + 99, range(4, 6)),
    ):
        with monkeypatch.context() as patched:
            rewind(tmp_path, Reached(epoch=epochs[0] - 1, batches=99))
            patched.setattr("time.time", lambda began=began: began)
            write(tmp_path, epochs, ())
    found = EventAccumulator(str(tmp_path)).Reload().Scalars("val/dice/mean")
    assert [event.step for event in found] == list(range(6))


def test_an_event_of_several_tags_keeps_those_that_stay(tmp_path):
    writer = SummaryWriter(str(tmp_path))
    add_scalars(writer, {"val/dice/mean": 0.5, "memory": 0.1}, 7)
    writer.close()
    rewind(tmp_path, Reached(epoch=9, batches=7))
    assert points(tmp_path) == {("val/dice/mean", 7): 1}
    rewind(tmp_path, Reached(epoch=9, batches=8, anew=("val/",)))
    assert points(tmp_path) == {}


def test_tags_that_had_not_come_as_far_are_rewound_to_where_they_were(tmp_path):
    write(tmp_path, range(4), range(10))
    before = points(tmp_path)
    rewind(tmp_path, Reached(epoch=2, batches=10, drawn={"2_flow/": 1, "5_leak/": -1, "val/": 9}))
    last = {flow_tag("seg_grad_cam", "liver"): 1, events_tag("seg_grad_cam"): -1}
    assert points(tmp_path) == {
        (tag, step): count
        for (tag, step), count in before.items()
        if tag in (LEARNING_RATE_TAG, "memory") or step <= last.get(tag, 2)
    }


def test_a_torn_event_at_the_end_goes_and_all_before_it_stay(tmp_path):
    write(tmp_path, range(3), range(10))
    (path,) = tmp_path.glob("events*")
    whole, before = path.read_bytes(), points(tmp_path)
    path.write_bytes(whole + whole[-40:-3])
    rewind(tmp_path, Reached(epoch=9, batches=99))
    assert path.read_bytes() == whole
    assert points(tmp_path) == before


def test_a_log_with_nothing_to_forget_is_not_touched(tmp_path):
    write(tmp_path, range(3), range(10))
    (path,) = tmp_path.glob("events*")
    stood = path.stat()
    rewind(tmp_path, Reached(epoch=2, batches=10))
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (stood.st_ino, stood.st_mtime_ns)
    rewind(tmp_path / "none", Reached(epoch=2, batches=10))


def test_a_log_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    write(tmp_path, range(3), range(10))
    before = points(tmp_path)

    class Full(logs.RecordWriter):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs, "RecordWriter", Full)
    with pytest.raises(InputError, match="No space left on device"):
        rewind(tmp_path, Reached(epoch=0, batches=1))
    assert points(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_step_of_every_tag_of_ours_is_known_to_be_the_epoch():
    blocks, known = [("gain", RULES[0])], {"rules": RULES, "organs": ORGANS, "cut": ORGANS}
    ours = expected_tags(**known)
    ours |= further_tags(**known, stages=STAGES, blocks=blocks, timelines=blocks)
    ours |= {"train/loss", "val/dice/liver", "test/dice/mean", "_hparams_/experiment"}
    assert {tag for tag in ours if not tag.startswith(logs.BY_EPOCH)} == set()


def table_of(folder, prefix=""):
    return CSVLogger(folder, name="", version="csv", prefix=prefix), folder / "csv" / "metrics.csv"


def log(logger, epochs, late=3):
    """Numbers by batch and by epoch, and from a later epoch on a column more."""
    for epoch in epochs:
        for batch in (5 * epoch, 5 * epoch + 4):
            logger.log_metrics({"lr-Adam": -0.5, "memory": 0.25 + batch, "epoch": epoch}, batch)
        more = {"4_cut/liver": 0.125} if epoch >= late else {}
        logger.log_metrics({"val/dice/mean": epoch / 8, "train/loss": float("nan"), **more}, epoch)
        logger.save()


@pytest.mark.parametrize("prefix", ["", "mine"])
def test_a_table_of_a_run_that_goes_on_is_that_of_one_that_nobody_broke_off(tmp_path, prefix):
    """Lightning would delete the rows that were there."""
    begins = f"{prefix}-" if prefix else ""
    logger, whole = table_of(tmp_path / "whole", prefix)
    log(logger, range(5))
    logger, broken = table_of(tmp_path / "broken", prefix)
    log(logger, range(4))  # killed in the last pass, in the middle of a row
    broken.write_bytes(broken.read_bytes() + b"0.12,")
    shutil.copy(broken, broken.with_name(".metrics.csv.kept"))
    broken.unlink()  # and once more while it was taken up
    logger, _ = table_of(tmp_path / "broken", prefix)
    with spared(broken), pytest.warns(UserWarning, match="is not empty"):
        getattr(logger, "experiment")  # noqa: B009 (begins the table)
    columns = rewind_table(broken, Reached(epoch=2, batches=15), begins)
    logger.experiment.metrics_keys[:] = columns
    log(logger, range(3, 5))
    assert broken.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in broken.parent.iterdir()) == ["metrics.csv"]


def test_what_is_scored_anew_leaves_the_table_and_no_empty_row_stays(tmp_path):
    logger, table = table_of(tmp_path)
    logger.log_metrics({"test/dice/mean": 0.5, "epoch": 1}, 1)
    logger.log_metrics({"test/dice/mean": 0.5, "val/dice/mean": 0.25}, 1)
    logger.save()
    rewind_table(table, Reached(epoch=1, batches=9, anew=("test/",)))
    _, *rows = table.read_text().splitlines()
    assert len(rows) == 1
    assert "0.25" in rows[0]
    assert "0.5" not in rows[0]
    assert rewind_table(tmp_path / "none.csv", Reached(epoch=1, batches=9)) == []
    table.write_text("step,val/a\nmany,0.5\n")
    with pytest.raises(InputError, match=r"metrics.csv is damaged .*move it away"):
        rewind_table(table, Reached(epoch=1, batches=9))
