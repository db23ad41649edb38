"""The scripts of `make bench` still run: what they are for is measured by hand, and rarely."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if "argparse" in path.read_text())
SMALL = {
    "bench_volumes.py": "--side 32 --rounds 1",
    "bench_necessity.py": "--slices 2 --side 32 --rounds 1",
    "bench_explainers.py": "--slices 1 --side 32 --rounds 1",
}


@pytest.fixture
def run(monkeypatch):
    """Runs a script here, without what it sets for its whole process."""

    def script(name, *options):
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(sys, "argv", [name, *options])
        monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
        monkeypatch.setattr(torch, "set_flush_denormal", lambda _: True)
        with torch.random.fork_rng():
            runpy.run_path(str(FOLDER / name), run_name="__main__")

    return script


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_called(name, run, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        run(name, "--help")
    assert re.match(rf"usage: {name} ", capsys.readouterr().out)


@pytest.mark.parametrize("name", SMALL)
def test_a_script_tells_what_is_promised_beside_what_it_measured(name, run, capsys):
    run(name, *SMALL[name].split())
    assert re.search(r"promise [<>]= \S+, (kept|MISSED)", capsys.readouterr().out)


def test_every_benchmark_is_run_by_make_bench():
    recipe = re.search(r"^bench:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"tests/benchmarks/(\w+\.py)", recipe[1])
    assert sorted(named) == [name for name in SCRIPTS if name.startswith("bench_")]
