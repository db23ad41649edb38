"""How long cases take to prepare, on one and two processes, beside reading their files alone.

    .venv/bin/python tests/benchmarks/bench_prepare.py [--cases 8] [--rounds 2] [--place FOLDER]

In turn, generated scans of 256 x 256 x 96. Reading is to unpack, to check and to orient image and
label. A process takes seconds to import its packages, which few small cases do not make up for.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from segtrace.data.files.nifti import read_volume
from segtrace.data.prepare import Preprocessing, prepare
from segtrace.data.sources import PhantomSource


def cpu() -> float:
    """Seconds of the CPU, with all processes that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU."""
    before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - before[0], cpu() - before[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--place", type=Path, help="keeps the scans for another time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = (options.place or Path(name)).resolve()
        source = PhantomSource(str(place / "large"), cases=options.cases, shape=(256, 256, 96))
        organs = {organ: n for n, organ in enumerate(source.numbering, start=1)}
        settings, cases, cache = Preprocessing((-125.0, 275.0), 224, organs), source.cases(), place
        ways = {
            "read": lambda: [read_volume(case, *source.files(case)) for case in cases],
            "one process": lambda: prepare(source, cases, settings, cache / "prepared", 1),
            "two processes": lambda: prepare(source, cases, settings, cache / "prepared", 2),
        }
        took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, work in ways.items():
                took[way].append(timed(work))
                shutil.rmtree(cache / "prepared", ignore_errors=True)
    medians = {way: [median(part) for part in zip(*spent, strict=True)]
               for way, spent in took.items()}  # fmt: skip
    for way, (clock, used) in medians.items():
        ratios = [spent / base for spent, base in zip((clock, used), medians["read"], strict=True)]
        print(f"prepare, {options.cases} cases, {way:13} {clock:6.2f} s, {used:6.2f} of the CPU; "
              f"beside reading {ratios[0]:.2f}, of CPU time {ratios[1]:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
