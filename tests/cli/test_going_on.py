"""A run that is stopped from outside, and goes on by the command that it was told to go on by."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.scripts import ROOT, SMALL_NET, Ran, run_script, tiny_data
from segtrace import InputError
from segtrace.report.run_folder import taken

LITTLE = (
    "explain.rules=[grad_pam]", "explain.organs=[liver]", "callbacks.flow.cut_every=null",
    "callbacks.baselines=null", "trainer.max_epochs=3", "data.cache_dir=cache",
)  # fmt: skip


def stopped(cwd: Path, when: Path, number: int, *overrides: str) -> Ran:
    """Train until a file appears, look at the folder, and send a signal."""
    script = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *overrides],
        cwd=cwd, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 250
    while not when.exists() and script.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    for other in ("train", "explain"):
        with pytest.raises(InputError, match=f"is being written by process {script.pid} on "):
            taken(cwd / "the run", other)
    script.send_signal(number)
    out, err = script.communicate(timeout=100)
    return Ran(script.returncode, out, err)


@pytest.mark.long
def test_a_run_that_is_stopped_goes_on_by_the_command_that_it_prints(tiny_raw, tmp_path):
    """In a folder whose name the shell and Hydra read otherwise without quotes."""
    folder = tmp_path / "the run"
    ran = stopped(
        tmp_path, folder / "checkpoints" / "last.ckpt", signal.SIGTERM,
        *tiny_data(tiny_raw), *SMALL_NET, *LITTLE, "data.steps_per_epoch=60",
        f'hydra.run.dir="{folder}"',
    )  # fmt: skip
    assert ran.code == 143, ran.err[-2000:]
    (line,) = ran.err.strip().splitlines()
    assert line.startswith(f"train.py: stopped by SIGTERM; {folder} is whole up to epoch ")
    assert not (folder / "dice.csv").exists()
    assert not list(folder.rglob(".*"))
    _, script, *arguments = shlex.split(line.partition("to go on: ")[2])
    again = run_script(script, *arguments, cwd=tmp_path)
    assert again.code == 0, again.err[-2000:]
    assert (folder / "dice.csv").is_file()
    assert (folder / "checkpoints" / "epoch_003.ckpt").is_file()
    assert list(tmp_path.glob("outputs")) == []  # nothing was split off
    other = run_script(script, *arguments, "seed=1", cwd=tmp_path)
    assert other.code == 1
    (line,) = other.err.strip().splitlines()
    assert "goes on as it began, so not with seed=1 (the run has 0)" in line
