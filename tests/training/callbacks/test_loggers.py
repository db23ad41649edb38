"""The callback shows the same in every logger, under either name of Lightning."""

import re

import pytest
import yaml

from segtrace import FlowCallback
from segtrace.report.sinks import NumbersSink, sinks_of
from segtrace.report.tables import read_table
from segtrace.tracking.explained import Settings
from training.test_either_lightning import NAMES, fit

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers.*", "ignore:.*LeafSpec.*"
)

PICTURES = {"1_overview", "2_flow/1_seg_grad_cam/box", "2_flow/2_grad_pam/box"}
"""What is drawn at every epoch, whatever was asked for."""
CURVE = "z_measure/gain/seg_grad_cam/box/enc1"


def all_of_it():
    settings = Settings(rules=["seg_grad_cam", "grad_pam"], measures="all")
    stages = {"enc1": "2", "head": "3"}
    return FlowCallback(stages=stages, organs={"box": 1}, settings=settings, draw_every={})


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_biases(name, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = name.loggers.WandbLogger(save_dir=tmp_path, project="p", offline=True)
    logged, defined = [], []
    run, log = logger.experiment, logger.experiment.log
    monkeypatch.setattr(run, "define_metric", lambda tag, **_: defined.append(tag))

    def keep(values, **more):
        logged.append(values)
        return log(values, **more)

    monkeypatch.setattr(run, "log", keep)
    fit(name, tmp_path, [all_of_it()], logger=logger, max_epochs=1)
    wandb.finish()
    assert (tmp_path / "p" / run.id / "flow" / "measures.csv").is_file()  # of this run alone
    assert len(defined) == len({*defined}) > 0
    by_tag = {}
    for values in logged:
        for tag in values.keys() - {"segtrace/epoch"}:
            by_tag.setdefault(tag, []).append(values.get("segtrace/epoch"))
    assert by_tag.keys() >= {*PICTURES, CURVE, "5_leak/events/1_seg_grad_cam"}
    assert by_tag["1_overview"] == by_tag[CURVE] == [0, 1]
    (files,) = tmp_path.glob("wandb/offline-run-*/files")
    kept = {str(path.relative_to(files / "media" / "images")) for path in files.rglob("*.png")}
    for tag in PICTURES:
        assert sum(bool(re.fullmatch(rf"{tag}_\d+_\w+\.png", path)) for path in kept) == 2, tag


@pytest.mark.parametrize("name", NAMES)
def test_mlflow(name, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = name.loggers.MLFlowLogger(tracking_uri=f"file:{tmp_path / 'ml'}")
    fit(name, tmp_path, [all_of_it()], logger=logger, max_epochs=1)
    (folder,) = (path.parent for path in (tmp_path / "ml").rglob("artifacts"))
    points = (folder / "metrics" / CURVE).read_text().splitlines()
    assert [line.split()[2] for line in points] == ["0", "1"]
    kept = [path.name for path in (folder / "artifacts" / "images").glob("*.png")]
    for tag in PICTURES:
        form = re.escape(tag.replace("/", "~")) + r"\+step\+(\d+)\+.*"
        steps = sorted(found[1] for name in kept if (found := re.fullmatch(form, name)))
        assert steps == ["0", "1"], tag
    assert (folder / "artifacts" / "5_leak/events/1_seg_grad_cam/epoch_001.md").read_text()
    assert yaml.safe_load((folder / "meta.yaml").read_text())["run_id"] == logger.run_id


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_the_numbers(name, tmp_path):
    logger = name.loggers.CSVLogger(tmp_path, name="", version="csv")
    with pytest.warns(UserWarning, match="found no logger that shows pictures"):
        fit(name, tmp_path, [all_of_it()], logger=logger, max_epochs=1)
    rows = read_table(tmp_path / "csv" / "metrics.csv")
    assert [row["step"] for row in rows if row.get(CURVE)] == ["0", "1"]


@pytest.mark.parametrize("name", NAMES)
def test_all_loggers_of_a_trainer_are_served(name, tmp_path):
    board = name.loggers.TensorBoardLogger(tmp_path, name="", version="tb")
    table = name.loggers.CSVLogger(tmp_path, name="", version="csv")
    found = sinks_of([table, board])
    assert [isinstance(sink, NumbersSink) for sink in found] == [True, False]
    assert found[1].board is board.experiment
