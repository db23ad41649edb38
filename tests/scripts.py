"""Run the two scripts as a user does."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

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
    """Run train.py or explain.py as a user does, in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / name), *overrides],
        cwd=cwd,
        env=os.environ | {"PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


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
        "trainer.enable_progress_bar=false",
        "probes.n=3",
    )


@dataclass(frozen=True)
class Run:
    """A finished run of train.py."""

    folder: Path
    ran: Ran

    def checkpoint(self, epoch: int) -> Path:
        return self.folder / "checkpoints" / f"epoch_{epoch:03d}.ckpt"
