"""A run that is refused before anything was run leaves nothing behind."""

import pytest

from helpers.scripts import answer_of
from segtrace.cli.taken_back import take_back

RUN = ("trainer.accelerator=cpu", "trainer.max_epochs=1")


@pytest.mark.parametrize(
    ("script", "typed"),
    [
        ("train.py", ("data=synapse", "data.root=nowhere")),
        ("train.py", ("trainer.max_epochs=0",)),
        ("train.py", ("-m", "data=synapse", "data.root=nowhere", "seed=1,2")),
        ("train.py", ("callbacks=[default,ema]", "callbacks.ema.decay=1")),
        ("train.py", ("resume=nowhere",)),
        ("explain.py", ("checkpoint=nowhere.ckpt",)),
        ("explain.py", ("checkpoint=nowhere.ckpt", "hydra.run.dir=named")),
    ],
)
def test_what_is_refused_leaves_nothing(script, typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = answer_of(script, *(RUN if script == "train.py" else ()), *typed)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1
    assert [*tmp_path.iterdir()] == []


def test_data_that_are_missed_later_leave_nothing_either(tmp_path, monkeypatch):
    """The configuration is written by then, for whoever goes on after Ctrl-C."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    ran = answer_of("train.py", *RUN, "data=synapse", f"data.root={tmp_path}/scans")
    assert ran.code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_a_folder_with_a_result_or_with_something_else_stays(tmp_path):
    for name in ("flow/measures.csv", "notes.txt", "checkpoints/epoch_000.ckpt"):
        run = tmp_path / "runs" / "run"
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
        (run / "config.yaml").write_text("seed: 0\n")
        take_back([run, run.parent])
        assert (run / "config.yaml").is_file()
        (run / name).unlink()
    (run / "checkpoints" / "empty").mkdir()
    (tmp_path / "kept").mkdir()
    take_back([run, run.parent, tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_what_was_filled_before_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.yaml").write_text("mine: 1\n")
    ran = answer_of("train.py", *RUN, "trainer.max_epochs=0", "hydra.run.dir=mine")
    assert ran.code == 1
    assert (tmp_path / "mine" / "config.yaml").read_text() == "mine: 1\n"
