"""Run the two scripts as a user does."""

import io
import logging
import os
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch

from helpers.lines import check_log

ROOT = Path(__file__).parents[2]

SMALL_NET = (
    "model=basic_unet",
    "model.net.features=[8,8,16,16,32,8]",
    "+model.net.dropout=0.1",
)


@dataclass(frozen=True)
class Ran:
    """How a script ended."""

    code: int
    out: str
    err: str


def run_script(name: str, *overrides: str, cwd: Path) -> Ran:
    """Run train.py or explain.py as a user does, in a process of its own whose words go to files.

    What it says is held against the form, see :func:`helpers.lines.check_log`.
    """
    done = subprocess.run(
        [sys.executable, str(ROOT / name), *overrides],
        cwd=cwd,
        env=os.environ | {"PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode == 0 and not any(one.startswith("-") for one in overrides):
        check_log(done.stdout, done.stderr)
    return Ran(done.returncode, done.stdout, done.stderr)


def answer_of(name: str, *overrides: str) -> Ran:
    """The same in this process and folder, many times as fast: for what is refused before any work.

    What the scripts set for a whole process is set back.
    """
    out, err = io.StringIO(), io.StringIO()
    logger = logging.getLogger("pytorch_lightning")
    level, code = logger.level, 0
    with (
        patch.object(sys, "argv", [str(ROOT / name), *overrides]),
        patch.dict(os.environ),
        warnings.catch_warnings(),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        warnings.simplefilter("default")
        try:
            runpy.run_path(str(ROOT / name), run_name="__main__")
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            torch.set_flush_denormal(False)
            logger.setLevel(level)
    return Ran(code, out.getvalue(), err.getvalue())


def tiny_data(root: Path) -> tuple[str, ...]:
    """Overrides that train on the tiny raw-layout data set."""
    return (
        "data=synapse",
        f"data.root={root}",
        "data.split={train: ['0005','0006'], val: ['0027'], test: ['0001']}",
        "data.organs=[spleen,left_kidney,liver,stomach]",
        "data.size=64",
        "data.batch_size=2",
        "data.steps_per_epoch=3",
        "trainer.accelerator=cpu",
        "probes.n=3",
    )


@dataclass(frozen=True)
class Run:
    """A finished run of train.py."""

    folder: Path
    ran: Ran

    def checkpoint(self, epoch: int) -> Path:
        return self.folder / "checkpoints" / f"epoch_{epoch:03d}.ckpt"
