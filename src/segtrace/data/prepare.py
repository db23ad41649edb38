"""Volumes -> square slices, written once and read in a fraction of a millisecond."""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.cache.digests import Digests
from segtrace.data.cache.drafts import draft, sweep
from segtrace.data.cache.entries import (
    ARRAYS,
    FORMAT,
    PreparedCase,
    learn_hashes,
    read_case,
    remember,
    versions_of,
    write_index,
)
from segtrace.data.cache.needs import check_room, entry_bytes
from segtrace.data.files import findings
from segtrace.data.files.nifti import Volume
from segtrace.data.files.plausible_labels import judge_order
from segtrace.data.files.unpacking import check_file
from segtrace.data.preprocessing import (
    VERSION,
    channels_of,
    organ_areas,
)
from segtrace.data.sources import CaseSource
from segtrace.data.volumes.preprocessing import AnyPreprocessing, VolumePreprocessing
from segtrace.errors import InputError, why
from segtrace.names import file_name
from segtrace.processes import in_threads
from segtrace.progress import counted, over, say

MADE_BY = f"{FORMAT}.{VERSION}"
"""What an entry says of the version that made it."""
SHOWN = 5
"""Cases that a message names."""


Wanted = tuple[str, bool]
"""A case, and whether its files' own slices are kept."""
Task = tuple[CaseSource, Wanted, AnyPreprocessing, Path]


class BrokenCasesError(InputError):
    """Cases whose files cannot be read.

    Args:
        wrong: case -> the reason, which names the file.
    """

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.wrong = dict(wrong)
        if len(wrong) == 1:
            super().__init__(*wrong.values())
            return
        reasons = list(wrong.values())
        more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
        super().__init__(
            f"{len(wrong)} cases cannot be read, {shortened(list(wrong))}: "
            f"{'; '.join(reasons[:SHOWN])}{more}"
        )


def shortened(cases: Sequence[str]) -> str:
    """The first of many names.

    >>> shortened(["0001", "0002"]), shortened(list("abcdefgh"))
    ('0001, 0002', 'a, b, c, d, e and 3 more')
    """
    more = f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
    return ", ".join(cases[:SHOWN]) + more


def prepare_all(
    source: CaseSource,
    wanted: Sequence[Wanted],
    preprocessing: AnyPreprocessing,
    cache_dir: str | Path,
    workers: int = 0,
) -> list[PreparedCase]:
    """The cases from the cache; those that are not in it are written first.

    What the content of the files decides is the content of the cache: neither their names nor
    their times. An entry that is not what was written is made anew, with a warning; what was found
    in the files is told in one warning for each kind.

    Args:
        source: where the cases come from.
        wanted: which, and of each whether the files' own slices are kept.
        preprocessing: what makes slices, or an input volume, of a volume.
        cache_dir: where they are kept.
        workers: threads that write, where there are several cases; changes nothing in them.

    Raises:
        BrokenCasesError: files that cannot be read, of all such cases; the others are in the cache.
        InputError: a cache folder that cannot be written, or no room in it for all of them.
    """
    cache = Path(cache_dir).expanduser()
    sweep(cache)
    digests = Digests()
    folders, wrong = _folders(source, wanted, preprocessing, cache, digests)
    prepared = {one: read_case(one[0], folder, digests) for one, folder in folders.items()}
    todo = [one for one in folders if prepared[one] is None]
    _tell_damaged([one[0] for one in todo if folders[one].exists()], cache)
    _tell_others([one[0] for one in todo if not folders[one].exists()], cache)
    if todo:
        _check_room(source, todo, preprocessing, cache)
    tasks = [(source, one, preprocessing, folders[one]) for one in todo]
    words = f"Preparing {preprocessing.gives} of {counted(len(todo), 'case')}"
    with in_threads(partial(_write_case, digests), tasks, workers) as done:
        written = dict(zip(todo, over(done, words, len(todo)), strict=True))
    wrong |= {name: found for (name, _), found in written.items() if isinstance(found, str)}
    if wrong:
        raise BrokenCasesError(wrong)
    prepared |= {one: found for one, found in written.items() if not isinstance(found, str)}
    found = [_checked(one[0], prepared[one], folders[one]) for one in wanted]
    for case in found:
        remember(case.folder, source.files(case.name), digests)
    findings.warn((case.name, finding) for case in found for finding in case.findings)
    return found


def _check_room(
    source: CaseSource, todo: Sequence[Wanted], preprocessing: AnyPreprocessing, cache: Path
) -> None:
    channels = preprocessing.channels
    if isinstance(preprocessing, VolumePreprocessing):
        volumes = filter(None, (preprocessing.kept_shape(source.files(case)) for case, _ in todo))
        needed = sum(entry_bytes(z, y, x, channels) for z, y, x in volumes)
        check_room(cache, needed, f"the resampled volumes of {counted(len(todo), 'case')}")
        return
    known = [(shape, native) for case, native in todo if (shape := source.shape(case)) is not None]
    side = preprocessing.size
    needed = sum(
        entry_bytes(depth, *((rows, columns) if native else (side, side)), channels)
        for (depth, rows, columns), native in known
    )
    slices = sum(depth for (depth, *_), _ in known)
    check_room(cache, needed, f"{slices} slices of {counted(len(todo), 'case')}")


def _write_case(digests: Digests, task: Task) -> PreparedCase | str | None:
    """The case as it is read back; or, in words, what is wrong with its files."""
    source, (name, native), preprocessing, folder = task
    try:
        volume = source.load(name)
        arrays, facts = _made(volume, source.numbering, preprocessing, native)
    except InputError as error:
        return str(error)
    _write(arrays, facts, folder)
    return read_case(name, folder, digests, arrays)


def _folders(
    source: CaseSource,
    wanted: Sequence[Wanted],
    preprocessing: AnyPreprocessing,
    cache: Path,
    digests: Digests,
) -> tuple[dict[Wanted, Path], dict[str, str]]:
    """Case, as it is wanted -> its entry; and case -> why its files cannot be read."""
    found, wrong = {}, {}
    for case, native in wanted:
        try:
            settings = preprocessing.kept_by() | ({"native": True} if native else {})
            found[case, native] = cache / _name(source, case, settings, cache, digests)
        except InputError as error:
            wrong[case] = str(error)
    return found, wrong


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


def _tell_others(cases: Sequence[str], cache: Path) -> None:
    """Of what another version of segtrace left: it stays, since a run of it may be reading it."""
    if others := [case for case in cases if versions_of(cache, file_name(case)) - {MADE_BY}]:
        say(
            f"{cache}: the slices of {shortened(others)} there are another version's of segtrace; "
            "they are made anew beside those, which may be deleted once nothing of it runs."
        )


def _made(
    volume: Volume, numbering: Mapping[str, int], preprocessing: AnyPreprocessing, native: bool
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of an entry by their files, and its facts."""
    geometry, labels = preprocessing.geometry(volume), channels_of(volume, numbering, preprocessing)
    small = geometry.resize_labels(labels)
    images = preprocessing.windowed(volume) if native else preprocessing.images(volume)[0]
    found = (*volume.findings, *_judged(volume, numbering))
    facts = {
        "areas": organ_areas(small, len(preprocessing.organs)).tolist(),
        "geometry": geometry.to_plain(),
        "phantom": volume.phantom,
        "hounsfield_known": preprocessing.hounsfield_known(volume),
        "findings": [finding.to_plain() for finding in found],
        "made_by": MADE_BY,
        "native": native,
    }
    return dict(zip(ARRAYS, (images, labels if native else small), strict=True)), facts


def _write(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], folder: Path) -> None:
    try:
        with draft(folder, _sound, mode=0o700) as partial:
            for name, values in arrays.items():
                np.save(partial / name, values)
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
