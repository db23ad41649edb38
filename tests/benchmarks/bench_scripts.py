"""How long the two scripts let a user wait: seconds by the clock and of the CPU, beside the aims.

    .venv/bin/python tests/benchmarks/bench_scripts.py [--run outputs/…] [--times 3]

The first picture of a training that generates its phantom; one checkpoint, `study=ablation`, and
the whole course of a training. Without `--run` it first trains as `make train` does. One checkpoint
and the ablation are run in turn, and the median is printed. The aims are for two quiet cores.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from promises import kept

ROOT = Path(__file__).parents[2]
FIRST, ONE, ABLATION, COURSE = "first picture", "one checkpoint", "study=ablation", "whole course"
AIMS = {FIRST: 30, ONE: 15, ABLATION: 30, COURSE: 120}
"""Seconds by the clock."""
Spent = tuple[float, float]
"""Seconds by the clock, and of the CPU with all processes that were begun."""


def started(script: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    log = folder.with_suffix(".log").open("wb")
    command = [sys.executable, str(ROOT / script), *options, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder.parent)


def ended(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.wait():
        sys.exit(folder.with_suffix(".log").read_text())


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def explain(folder: Path, *options: str) -> Spent:
    began, before = time.monotonic(), cpu()
    ended(started("explain.py", folder, *options), folder)
    return time.monotonic() - began, cpu() - before


def first_picture(folder: Path, data: Sequence[str]) -> Spent:
    """Until the first picture lies in the folder; the training is ended there."""
    began, before = time.monotonic(), cpu()
    process = started("train.py", folder, *data)
    while not any(folder.glob("flow/**/*.png")):
        if process.poll() is not None:
            ended(process, folder)
        time.sleep(0.1)
    seconds = time.monotonic() - began
    process.kill()
    process.wait()
    return seconds, cpu() - before


def train(folder: Path, data: Sequence[str]) -> Path:
    ended(started("train.py", folder, *data), folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, help="the folder of a finished run of train.py")
    parser.add_argument("--times", type=int, default=3, help="runs of the two short cases")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        data = [f"data.root={place / 'phantom'}", f"data.cache_dir={place / 'cache'}"]
        found = {FIRST: [first_picture(place / "first", data)]}
        run = train(place / "run", data) if asked.run is None else asked.run.resolve()
        checkpoints = sorted((run / "checkpoints").glob("epoch_*.ckpt"))
        last = f"checkpoint={checkpoints[-1]}"
        for n in range(asked.times):
            found.setdefault(ONE, []).append(explain(place / f"one_{n}", last))
            study = explain(place / f"ablation_{n}", last, "study=ablation")
            found.setdefault(ABLATION, []).append(study)
        course = f"checkpoint={run / 'checkpoints'}/epoch_*.ckpt"
        found[COURSE] = [explain(place / "course", course)]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{os.cpu_count()} cores, {threads} threads, load {os.getloadavg()[0]:.1f} at the end")
    print(f"{'':16} {'clock':>7} {'CPU':>7}  seconds, median of the runs")
    for case, spent in found.items():
        clock, used = (median(column) for column in zip(*spent, strict=True))
        words = f"{case:16} {clock:7.1f} {used:7.1f}  {kept(clock, AIMS[case])}; {len(spent)} runs"
        print(words + f", {len(checkpoints)} checkpoints" * (case == COURSE))


if __name__ == "__main__":
    main()
