"""Run the two scripts as a user does."""

import atexit
import io
import logging
import multiprocessing
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch

from helpers.lines import check_log

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([
    "hydra", "pydantic", "pytorch_lightning", "monai.losses", "monai.networks.nets", "xarray",
    "torch.utils.tensorboard", "jinja2", "nibabel", "h5py", "scipy.ndimage", "skimage.measure",
])  # fmt: skip

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

    It is forked from one that has imported the packages of others, which takes most of the seconds
    of a start, and nothing of ours. What it says is held against the form, see
    :func:`helpers.lines.check_log`.
    """
    with TemporaryDirectory() as folder:
        said = [Path(folder) / stream for stream in ("out", "err")]
        with patch.dict(os.environ, PYTHONWARNINGS="default", CUDA_VISIBLE_DEVICES=""):
            given = (name, overrides, cwd, dict(os.environ), said)
            process = FORKS.Process(target=_script, args=given)
            process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(name, 300)
        code = process.exitcode
        out, err = (path.read_text(encoding="utf-8") for path in said)
    if code == 0 and not any(one.startswith("-") for one in overrides):
        check_log(out, err)
    return Ran(code, out, err)


def _script(
    name: str,
    overrides: Sequence[str],
    cwd: Path,
    environment: dict[str, str],
    said: Sequence[Path],
) -> None:
    """The script, from its first line to its last, in a process that was forked for it."""
    for stream, path in zip((sys.stdout, sys.stderr), said, strict=True):
        stream.flush()
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), stream.fileno())
        stream.reconfigure(encoding="utf-8", line_buffering=stream is sys.stderr)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[:] = [str(ROOT), *(place for place in sys.path if place != str(ROOT / "tests"))]
    sys.argv = [str(ROOT / name), *overrides]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # which a forked process leaves out


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
