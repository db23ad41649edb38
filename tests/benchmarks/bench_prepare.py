"""How long cases take to prepare beside reading their files alone, each on one and two threads.

    .venv/bin/python tests/benchmarks/bench_prepare.py [--rounds 3] [--place FOLDER]

The 30 cases of the phantom, 160 x 160 x 48, and four scans of 512 x 512 x 120 made of noise. To
unpack is to take the bytes out of the gzip files; to read is to check and to orient image and
label too. Preparing also hashes the files, resizes what is read, writes it and reads that back.
Told is the least of the rounds, which other work on the machine disturbs least, and what share of
preparing each of these is.
"""

import argparse
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import torch

from segtrace.data.cache.digests import content_hash
from segtrace.data.files.nifti import read_volume
from segtrace.data.files.unpacking import read_nifti_bytes
from segtrace.data.labels import BTCV
from segtrace.data.prepare import prepare_all
from segtrace.data.preprocessing import Preprocessing
from segtrace.data.sources import PhantomSource, RawSource
from segtrace.processes import in_threads


def cpu() -> float:
    """Seconds of the CPU, with all processes that have ended."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU."""
    before = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - before[0], cpu() - before[1]


def noise(root: Path, cases: int = 4, shape: tuple[int, int, int] = (512, 512, 120)) -> RawSource:
    """Scans as large as real ones, of a grid of boxes in the place of organs."""
    affine = np.diag([-0.75, -0.75, 2.5, 1.0])
    x, y, z = np.ogrid[tuple(slice(0, n) for n in shape)]
    inside = (x % 128 < 40) & (y % 128 < 40) & (z > 20)
    label = np.where(inside, 1 + (x // 128 + 4 * (y // 128)) % len(BTCV), 0).astype(np.uint8)
    for case in range(1, cases + 1):
        random = np.random.default_rng(case)
        body = (x - 256) ** 2 / 220**2 + (y - 256) ** 2 / 160**2 < 1
        image = np.where(body, 40, -1000) + random.normal(0, 15, shape)
        for part, values in (("img", image.round().astype(np.int16)), ("label", label)):
            path = root / part / f"{part}{case:04}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                nibabel.Nifti1Image(values, affine).to_filename(path)
    return RawSource(str(root))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--place", type=Path, help="keeps the scans for another time")
    options = parser.parse_args()
    torch.set_num_threads(1)  # of each: two threads are two cores
    warnings.simplefilter("ignore")  # boxes do not lie as organs do
    with tempfile.TemporaryDirectory() as name:
        place = (options.place or Path(name)).resolve()
        sources = PhantomSource(str(place / "phantom")), noise(place / "noise")
        for words, source in zip(("phantom", "512 x 512 x 120"), sources, strict=True):
            measure(words, source, place / "prepared", options.rounds)


def in_turn(task: Callable[[str], str], cases: list[str], threads: int) -> list[str]:
    """What preparing does with its cases, of another task."""
    with in_threads(task, cases, threads) as found:
        return list(found)


def measure(words: str, source: RawSource, cache: Path, rounds: int) -> None:
    """Every way in turn, a few times."""
    organs = {organ: n for n, organ in enumerate(source.numbering, start=1)}
    settings, cases = Preprocessing((-125.0, 275.0), 224, organs), source.cases()
    wanted = [(case, False) for case in cases]

    def read(case: str) -> str:
        return read_volume(case, *source.files(case)).name

    files = [path for case in cases for path in source.files(case)]
    ways = {
        "hash": lambda: [content_hash(path) for path in files],
        "unpack": lambda: [len(read_nifti_bytes(path)) for path in files],
        "read": lambda: in_turn(read, cases, 1),
        "read, two": lambda: in_turn(read, cases, 2),
        "one thread": lambda: prepare_all(source, wanted, settings, cache, 1),
        "two threads": lambda: prepare_all(source, wanted, settings, cache, 2),
    }
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            took[way].append(timed(work))
            shutil.rmtree(cache, ignore_errors=True)
    least = {way: [min(part) for part in zip(*spent, strict=True)] for way, spent in took.items()}
    for way, (clock, used) in least.items():
        beside = least["read, two" if "two" in way else "read"]  # on as many threads
        ratio, cpu_ratio = clock / beside[0], used / beside[1]
        print(f"{words}, {len(cases)} cases, {way:11} {clock:6.2f} s, {used:6.2f} of the CPU; "
              f"beside reading {ratio:.2f}, of CPU time {cpu_ratio:.2f}")  # fmt: skip
    share = {way: used / least["one thread"][1] for way, (_, used) in least.items()}
    print(f"{words}: of the CPU time of preparing, reading is {share['read']:.0%} (unpacking alone "
          f"{share['unpack']:.0%}), and hashing the files {share['hash']:.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
