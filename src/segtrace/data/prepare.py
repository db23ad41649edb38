"""Volumes -> square slices, written once and read in a fraction of a millisecond."""

import hashlib
import json
import signal
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segtrace.data.cache.digests import Digests
from segtrace.data.cache.drafts import draft, sweep
from segtrace.data.cache.entries import (
    FORMAT,
    PreparedCase,
    learn_hashes,
    read_case,
    remember,
    write_index,
)
from segtrace.data.files import findings
from segtrace.data.files.nifti import Volume
from segtrace.data.files.plausible_labels import judge_order
from segtrace.data.files.unpacking import check_file
from segtrace.data.preprocessing import (
    LINEAR,
    VERSION,
    Preprocessing,
    channels_of,
    organ_areas,
)
from segtrace.data.sources import CaseSource
from segtrace.errors import InputError, why
from segtrace.names import file_name
from segtrace.progress import counted, over


def prepare(
    source: CaseSource,
    cases: Sequence[str],
    preprocessing: Preprocessing,
    cache_dir: str | Path,
    workers: int = 0,
    *,
    native: bool = False,
) -> list[PreparedCase]:
    """The cases from the cache; those that are not in it are written first.

    What the content of the files decides is the content of the cache: neither their names nor
    their times. An entry that is not what was written is made anew, with a warning; what was found
    in the files is told in one warning for each kind.

    Args:
        source: where the cases come from.
        cases: which.
        preprocessing: what makes slices of a volume.
        cache_dir: where they are kept.
        workers: processes that write, where there are several cases; changes nothing in them.
        native: keep the files' own slices, which are resized when they are read.

    Raises:
        InputError: a broken file, or a cache folder that cannot be written.
    """
    cache = Path(cache_dir).expanduser()
    sweep(cache)
    digests = Digests()
    settings = _settings(preprocessing, native)
    folders = {case: cache / _name(source, case, settings, cache, digests) for case in cases}
    prepared = {case: read_case(case, folder, digests) for case, folder in folders.items()}
    todo = [case for case in cases if prepared[case] is None]
    _tell_damaged([case for case in todo if folders[case].exists()], cache)
    tasks = [(source, name, preprocessing, folders[name], native) for name in todo]
    _write_all(tasks, f"Preparing the slices of {counted(len(todo), 'case')}", workers)
    prepared |= {name: read_case(name, folders[name], digests) for name in todo}
    found = [_checked(case, prepared[case], folders[case]) for case in cases]
    for case in found:
        remember(case.folder, source.files(case.name), digests)
    findings.warn((case.name, finding) for case in found for finding in case.findings)
    return found


Task = tuple[CaseSource, str, Preprocessing, Path, bool]


def _settings(preprocessing: Preprocessing, native: bool) -> dict[str, Any]:
    """What decides how a case is kept; as before, where it is kept as before."""
    found = asdict(preprocessing)
    if preprocessing.resizing == LINEAR:
        del found["resizing"]
    if preprocessing.channels == 1:
        del found["channels"]
    return {**found, "native": True} if native else found


def _write_all(tasks: Sequence[Task], words: str, workers: int) -> None:
    workers = min(workers, len(tasks))
    if workers < 2:
        for task in over(tasks, words):
            _write_case(task)
        return
    # Spawned, since a fork of a process in which torch has threads may hang.
    with ProcessPoolExecutor(workers, get_context("spawn"), _beside_others) as pool:
        try:
            for _ in over(pool.map(_write_case, tasks), words, len(tasks)):
                pass
        except BrokenProcessPool as error:
            raise InputError(
                "a process that prepared slices was ended, by a lack of memory perhaps; say "
                "data.num_workers=0 to prepare one case at a time"
            ) from error


def _beside_others() -> None:
    """A process that leaves Ctrl-C to the one that waits for it, and the other cores to others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _write_case(task: Task) -> None:
    source, name, preprocessing, folder, native = task
    _write(source.load(name), source.numbering, preprocessing, folder, native)


def _name(
    source: CaseSource, case: str, settings: Mapping[str, Any], cache: Path, digests: Digests
) -> str:
    short = file_name(case)
    learn_hashes(cache, short, digests)
    return f"{short}-{_key(source, case, settings, digests)}"


def _key(source: CaseSource, case: str, settings: Mapping[str, Any], digests: Digests) -> str:
    """A hash of all that determines the prepared case."""
    files = []
    for path in source.files(case):
        check_file(path, f", but case {case} needs it; add it or leave the case out")
        try:
            files.append((path.name, digests.of(path)))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    parts = [type(source).__name__, case, files, source.settings(), settings, VERSION]
    return hashlib.sha256(json.dumps([*parts, FORMAT]).encode()).hexdigest()[:16]


def _tell_damaged(cases: Sequence[str], cache: Path) -> None:
    if cases:
        warnings.warn(
            f"case {', '.join(cases)}: the prepared slices in {cache} are damaged or incomplete, "
            "so they are made anew",
            stacklevel=3,
        )


def _write(
    volume: Volume,
    numbering: Mapping[str, int],
    preprocessing: Preprocessing,
    folder: Path,
    native: bool,
) -> None:
    geometry = preprocessing.geometry(volume)
    images, labels = preprocessing.windowed(volume), channels_of(volume, numbering, preprocessing)
    small = geometry.resize_labels(labels)
    if not native:
        images, labels = geometry.resize_images(images), small
    found = (*volume.findings, *_judged(volume, numbering))
    facts = {
        "areas": organ_areas(small, len(preprocessing.organs)).tolist(),
        "geometry": geometry.to_plain(),
        "phantom": volume.phantom,
        "hounsfield_known": preprocessing.hounsfield_known(volume),
        "findings": [finding.to_plain() for finding in found],
        "native": native,
    }
    try:
        with draft(folder, _sound, mode=0o700) as partial:
            np.save(partial / "image.npy", images)
            np.save(partial / "label.npy", labels)
            write_index(partial, facts)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: cannot write the slice cache ({why(error)}); give "
            "data.cache_dir=<a folder you can write>"
        ) from error


def _judged(volume: Volume, numbering: Mapping[str, int]) -> tuple[findings.Finding, ...]:
    return judge_order(np.asarray(volume.label), numbering, volume.grid.sides_known)


def _sound(folder: Path) -> bool:
    return read_case("", folder, Digests()) is not None


def _checked(case: str, prepared: PreparedCase | None, folder: Path) -> PreparedCase:
    if prepared is None:
        raise InputError(
            f"{folder}: what was written for case {case} does not read back as it was; give "
            "data.cache_dir=<a folder on another disk>"
        )
    return prepared
