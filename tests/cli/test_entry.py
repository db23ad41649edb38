"""How the scripts start, and how they answer what they cannot run: one line, exit code 1."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import nn

from helpers.scripts import ROOT, answer_of
from segtrace import InputError
from segtrace.cli.entry import _quiet, answering, start
from segtrace.errors import users_code
from segtrace.network.stages import not_in_table


@pytest.mark.parametrize(
    ("script", "overrides", "parts"),
    [
        (
            "explain.py",
            ("checkpoint=/x/epoch=9-step=400.ckpt",),
            ("'checkpoint=\"/x/epoch=9-step",),
        ),
        ("train.py", ("trainer.max_epochs",), ("trainer.max_epochs=…",)),
        ("train.py", ("data=nosuch",), ("no data 'nosuch'; allowed are", "phantom, planted")),
        ("train.py", ("data=synaps",), ("did you mean synapse",)),
        ("explain.py", ("study=verdikt",), ("did you mean verdict",)),
        ("explain.py", ("explainer=[ablation_cam,rice]",), ("no explainer 'rice'",)),
        ("train.py", ("seeed=1",), ("no option 'seeed'", "did you mean seed")),
        ("explain.py", ("chekpoint=a",), ("no option 'chekpoint'", "did you mean checkpoint")),
        ("explain.py", ("activation=sigmoid",), ("did you mean model.activation?",)),
        ("explain.py", ("channels={liver: 6}",), ("did you mean model.channels?",)),
        ("explain.py", ("labels={liver: 1}",), ("did you mean data.labels?",)),
        ("explain.py", ("window=[0,1]",), ("did you mean data.window",)),
        ("explain.py", ("max_seconds=3",), ("did you mean explainers.", ".max_seconds")),
        ("train.py", ("lr=0.1",), ("did you mean model.optimizer.lr?",)),
        ("train.py", ("epochs=3",), ("did you mean trainer.max_epochs?",)),
        ("train.py", ("activation=sigmoid",), ("did you mean model.activation",)),
        ("train.py", ("+x=1",), ("no option 'x'",)),
        ("train.py", ("+seed=1",), ("An item is already at 'seed'",)),
        ("train.py", ("~nosuch",), ("no option 'nosuch'",)),
        ("train.py", ("probes=[]",), ("probes=[]: options lie under probes", "probes.…=…")),
        ("train.py", ("model.net=[]",), ("model.net=[]: options lie under model.net",)),
        ("explain.py", ("probes=[]",), ("probes=[]: options lie under probes",)),
        ("train.py", ("seed=foo(3)",), ("give a whole number, seed=0",)),
        ("train.py", ("seed=é",), ("give a whole number, seed=0",)),
        ("train.py", ("data.root=é",), ("where text is wanted, say 'data.root=\"é\"'",)),
        (
            "train.py",
            ("model.stages={'<b>':conv_0}",),
            ("letters, digits and _ without quotes, as in 'model.stages={enc1: conv_0}'",),
        ),
        (
            "train.py",
            ("model.optimizer._partial_=false",),
            ("is not known before the network is built; say model.optimizer._partial_=true",),
        ),
        ("train.py", ("~seed",), ("'seed' not found",)),
        ("train.py", ("data=null",), ("data=null: data is needed; name one of nifti, phantom",)),
        ("train.py", ("data=[]",), ("data=[]: data is needed; name one of nifti",)),
        ("train.py", ("data=[phantom,planted]",), ("one at a time", "say -m data=phantom,planted")),
        ("train.py", ("model=null",), ("model=null: model is needed; name one of",)),
        ("train.py", ("model=5",), ("no model 5; allowed are attention_unet",)),
        ("train.py", ("logger=null",), ("logger is needed; name one or several of csv",)),
        ("train.py", ("logger=[]",), ("logger=[]: logger is needed; name one or several of csv",)),
        ("train.py", ("callbacks=null",), ("callbacks=null: callbacks is needed; name one or",)),
        ("train.py", ("callbacks=[]",), ("callbacks=[]: callbacks is needed; name one or",)),
        ("train.py", ("~callbacks",), ("~callbacks: callbacks is needed; name one or several",)),
        ("train.py", ("~trainer",), ("~trainer: trainer is needed; name one of ddp",)),
        ("explain.py", ("explainers=[]",), ("explainers=[]: options lie under explainers",)),
        (
            "explain.py",
            ("explainers=[rise]",),
            ("explainers=[rise]: ", "name explainers in explainer=[…]"),
        ),
        ("train.py", ("~trainer._target_",), ("trainer names no class",)),
        ("train.py", ("++trainer=3",), ("no trainer 3; allowed are ddp, default, gpu",)),
        ("train.py", ("++probes=3",), ("probes=3; give its options one by one",)),
        (
            "train.py",
            ("explain=null", "trainer.max_epochs=1"),
            ("explain=null: explain is needed",),
        ),
        (
            "explain.py",
            ("trainer=null", "net=a"),
            ("trainer cannot be taken out; leave trainer=null",),
        ),
        ("explain.py", ("study=null", "data=null"), ("say what to explain: checkpoint=",)),
        ("train.py", ("--config-name", "nosuch"), ("'nosuch'", "leave its flag out")),
        ("train.py", ("--config-path", "nosuch"), ("nosuch", "leave its flag out")),
        ("train.py", ("--config-dir", "nosuch"), ("nosuch", "not found")),
        ("train.py", ("-m", "-r"), ("Only one of --run, --multirun",)),
        ("train.py", ("-m", "hydra/launcher=nosuch"), ("no hydra/launcher 'nosuch'", "basic")),
        ("train.py", ("hydra.verbose=3",), ("Hydra refuses this",)),
        ("train.py", ("hydra.job.chdir=maybe",), ("hydra.job.chdir=maybe",)),
        ("train.py", ("seed=${nosuch}",), ("'nosuch' not found",)),
        ("train.py", ("seed=???",), ("seed",)),
        ("train.py", ("hydra.run.dir=/dev/null/run",), ("/dev/null/run", "hydra.run.dir=…")),
        ("explain.py", ("checkpoint=a${b",), ("checkpoint=a${b",)),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(script, overrides, parts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = answer_of(script, *overrides)
    assert ran.code == 1
    (line,) = ran.err.strip().splitlines()
    assert line.startswith(f"{script}: ")
    for part in parts:
        assert part in line


def test_an_environment_variable_in_single_quotes_is_told_how_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGTRACE_HERE", "somewhere")
    ran = answer_of("explain.py", "checkpoint=${SEGTRACE_HERE}/a.ckpt")
    assert "checkpoint: " in ran.err
    remedy = ran.err.partition("say '")[2].partition("'")[0]
    again = answer_of("explain.py", f"checkpoint={remedy}/a.ckpt")
    assert "checkpoint=somewhere/a.ckpt: no such file" in again.err


def test_a_remedy_that_is_typed_gets_as_far_as_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = answer_of("explain.py", 'checkpoint="/x/epoch=9-step=400.ckpt"')
    assert ran.err.strip() == "explain.py: checkpoint=/x/epoch=9-step=400.ckpt: no such file"


def test_a_remedy_for_python_is_told_as_explain_takes_it(monkeypatch, capsys):
    @answering
    def main(config):
        raise InputError("no logits; say output=lambda out: out[0]")

    monkeypatch.setattr("segtrace.cli.entry._return_to_where_it_was_typed", lambda: None)
    for script, more in (("explain.py", "output=my_module:pick"), ("train.py", "")):
        monkeypatch.setattr("sys.argv", [f"/a/{script}"])
        with pytest.raises(SystemExit):
            main(None)
        said = capsys.readouterr().err.strip()
        assert said.endswith(more or "out[0]"), said

    @answering
    def unnamed(config):
        raise not_in_table(nn.Identity())

    monkeypatch.setattr("sys.argv", ["/a/explain.py"])
    with pytest.raises(SystemExit):
        unnamed(None)
    assert "name them: stages=stages.yaml, a file with lines" in capsys.readouterr().err


def test_the_traceback_of_the_users_own_code_is_kept_in_the_runs_folder(
    tmp_path, monkeypatch, capsys
):
    @answering
    def main(config):
        with users_code("net=my:build"):
            raise KeyError("depth\udcff")

    place = SimpleNamespace(runtime=SimpleNamespace(output_dir=str(tmp_path)))
    monkeypatch.setattr("segtrace.cli.entry._return_to_where_it_was_typed", lambda: None)
    monkeypatch.setattr("segtrace.cli.entry.HydraConfig", SimpleNamespace(get=lambda: place))
    with pytest.raises(SystemExit) as end:
        main(None)
    kept = tmp_path / "traceback.txt"
    assert end.value.code == 1
    assert capsys.readouterr().err.strip().endswith(f"; its traceback: {kept}")
    lines = kept.read_text().splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("KeyError: ")


def test_a_warning_of_ours_is_a_line_and_that_of_others_keeps_its_place(monkeypatch):
    monkeypatch.setattr("warnings.formatwarning", warnings.formatwarning)
    monkeypatch.setattr("sys.argv", ["/a/explain.py"])
    _quiet()
    ours = str(ROOT / "src" / "segtrace" / "network" / "logits.py")
    assert warnings.formatwarning("coarse", UserWarning, ours, 3) == "explain.py: coarse\n"
    assert "/b/net.py:3: UserWarning: old" in warnings.formatwarning(
        "old", UserWarning, "/b/net.py", 3
    )


def test_a_line_break_in_a_message_stays_on_its_line(monkeypatch, capsys):
    @answering
    def main(config):
        raise InputError("one\ntwo\x1b[31m")

    monkeypatch.setattr("segtrace.cli.entry._return_to_where_it_was_typed", lambda: None)
    with pytest.raises(SystemExit):
        main(None)
    line = capsys.readouterr().err
    assert "one two" in line
    assert line.removesuffix("\n").isprintable()


def test_a_defect_keeps_its_traceback(tmp_path, monkeypatch):
    """Also one that looks like what Hydra raises before a script begins."""
    monkeypatch.chdir(tmp_path)
    for error in (ValueError("ours"), FileNotFoundError("ours"), AssertionError()):

        @answering
        def main(config, error=error):
            raise error

        monkeypatch.setattr("segtrace.cli.entry._return_to_where_it_was_typed", lambda: None)
        monkeypatch.setattr("sys.argv", ["train.py"])
        with pytest.raises(type(error)):
            start(lambda main=main: main(None), "train")


def test_paths_mean_what_they_meant_where_they_were_typed(tmp_path, monkeypatch):
    """``hydra.job.chdir=true`` would look for them in the run's folder."""
    monkeypatch.chdir(tmp_path)
    Path("given.ckpt").write_bytes(b"nothing")
    ran = answer_of("explain.py", "checkpoint=given.ckpt", "hydra.job.chdir=true")
    assert "no such file" not in ran.err
    assert "given.ckpt" in ran.err
    assert os.getcwd() == str(tmp_path)  # noqa: PTH109 (what the process says)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "number", "code", "word"),
    [
        ("train.py", signal.SIGINT, 130, "Ctrl-C"),
        ("explain.py", signal.SIGTERM, 143, "SIGTERM"),
    ],
)
def test_a_script_that_is_stopped_while_it_imports_says_so_in_one_line(
    name, number, code, word, tmp_path
):
    # Without a file explain.py answers before it imports.
    asked = [f"checkpoint={__file__}"] if name == "explain.py" else []
    script = subprocess.Popen(
        [sys.executable, str(ROOT / name), *asked], cwd=tmp_path, text=True, stderr=subprocess.PIPE
    )
    maps = Path(f"/proc/{script.pid}/maps")
    until = time.monotonic() + 60
    while "libtorch" not in maps.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    script.send_signal(number)
    _, err = script.communicate(timeout=60)
    assert (script.returncode, err) == (code, f"{name}: stopped by {word}; nothing has begun\n")
    assert list(tmp_path.iterdir()) == []
