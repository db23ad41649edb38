"""The wheel, away from the checkout: configurations and scripts come with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.scripts import ROOT, SMALL_NET, tiny_data
from segtrace.cli import start_up
from segtrace.cli.configuration import CONF

LITTLE = (
    "explain.rules=[grad_pam]", "explain.organs=[liver]", "callbacks.flow.cut_every=null",
    "callbacks.baselines=null", "trainer.max_epochs=2", "hydra.run.dir=run",
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's own files in a folder of their own; what it needs is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, timeout=200)
    (wheel,) = folder.glob("segtrace-*.whl")
    target = folder / "installed"
    install = ["install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], check=True, timeout=200)
    return target


def typed(installed: Path, cwd: Path, name: str, *arguments: str, **environment: str) -> str:
    """What a console script of the wheel prints."""
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / name), *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(installed), "CUDA_VISIBLE_DEVICES": ""} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
def test_a_wheel_trains_and_explains_from_another_folder(installed, tiny_raw, tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", "import segtrace.cli.configuration as c; print(c.CONF)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    ).stdout
    assert Path(found.strip()) == installed / "segtrace" / "conf"
    assert {p.relative_to(found.strip()) for p in Path(found.strip()).rglob("*.yaml")} == {
        p.relative_to(CONF) for p in CONF.rglob("*.yaml")
    }
    said = typed(installed, tmp_path, "segtrace-train", *tiny_data(tiny_raw), *SMALL_NET, *LITTLE)
    (line,) = [line for line in said.splitlines() if line.startswith("Explain")]
    _, name, asked = line.split()
    assert name == "segtrace-explain"
    typed(installed, tmp_path, name, asked, "hydra.run.dir=explained")
    assert (tmp_path / "explained" / "index.html").is_file()


@pytest.mark.long
def test_the_shell_completes_options_as_hydra_offers_it(installed, tmp_path):
    assert "complete -o nospace" in typed(
        installed, tmp_path, "segtrace-train", "-sc", "install=bash"
    )
    line = "segtrace-train data=syn"
    found = typed(
        installed, tmp_path, "segtrace-train", "-sc", "query=bash",
        COMP_LINE=line, COMP_POINT=str(len(line)),
    )  # fmt: skip
    assert found.split() == ["data=synapse", "data=synapse_transunet"]


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        ("/venv/bin/segtrace-train", "explain", "segtrace-explain"),
        ("/venv/Scripts/segtrace-train.exe", "train", "segtrace-train"),
        ("train.py", "explain", "python explain.py"),
        ("/work/explain.py", "train", "python train.py"),
    ],
)
def test_the_other_script_is_named_as_this_one_was_called(monkeypatch, own, asked, expected):
    monkeypatch.setattr(sys, "argv", [own])
    assert start_up.called(asked) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [("explain.py", True), ("/venv/bin/segtrace-explain", True), ("train.py", False), ("", False)],
)
def test_the_script_that_explains_is_known_by_either_name(monkeypatch, own, expected):
    monkeypatch.setattr(sys, "argv", [own])
    assert start_up.is_explaining() is expected
