"""TransUNet's lists: which slices are to train on, which volumes to test on.

Lines of any of them may end as the files do, in ``.npz`` or ``.npy.h5``.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrace.data.published import synapse
from segtrace.errors import InputError
from segtrace.progress import say_once

PARTS = (("train_npz", "test_vol_h5"), ("train_npz_new", "test_vol_h5_new"))
"""Folders of the slices and of the volumes, as TransUNet and as CASCADE name them."""
_TRAIN, _TEST, _ALL = "train.txt", "test_vol.txt", "all.lst"


@dataclass(frozen=True)
class Lists:
    """What is to train on and what to test on.

    Attributes:
        slices: training case -> number of its slices.
        volumes: the cases of the test list, in its order; some may be trained on.
        whole: no training case of the lists is missing.
    """

    slices: Mapping[str, int]
    volumes: tuple[str, ...]
    whole: bool = True


def read_lists(root: Path, parts: tuple[str, str], lists: str | None) -> Lists:
    """The lists that are named or that lie beside the slices; else TransUNet's own.

    Args:
        root: the folder of the data set, where a folder ``lists/`` may lie.
        parts: its folders of the slices and of the volumes.
        lists: the folder with ``train.txt`` and ``test_vol.txt`` (or ``all.lst``), if one is named.

    Raises:
        InputError: a list that is missing or cannot be right; no list, and other slices than
            those that TransUNet's own name.
    """
    places = [Path(lists)] if lists else [root / "lists", root / "lists" / "lists_Synapse"]
    for place in places:
        if not (place / _TRAIN).is_file():
            continue
        for name in (_TEST, _ALL):
            if (place / name).is_file():
                return Lists(_slices(place / _TRAIN), _volumes(place / name))
    where = " or ".join(map(str, places))
    wanted = f"no {_TRAIN} and {_TEST} in {where}"
    if lists:
        raise InputError(f"{wanted}; give data.lists=<their folder>")
    return _own(root / parts[0], root / parts[1], wanted)


def _own(slices: Path, volumes: Path, wanted: str) -> Lists:
    """Those that TransUNet distributes, of the cases whose files are there."""
    names = {path.stem for path in slices.glob("*.npz") if not path.name.startswith(".")}
    found = {case: count for case, count in synapse.TRAIN_SLICES.items()
             if any(slice_name(case, index) in names for index in range(count))}  # fmt: skip
    listed = {slice_name(case, index) for case, count in found.items() for index in range(count)}
    differing = [*sorted(names - listed), *sorted(listed - names)]
    if differing or not names:
        apart = f"{slices} lacks {differing[0]}.npz, which they name" if differing else ""
        if differing and differing[0] in names:
            apart = f"{slices} holds {differing[0]}.npz, which they do not name"
        raise InputError(
            f"{wanted}, and TransUNet's own do not fit: {apart or f'{slices} holds no npz file'}; "
            "give data.lists=<their folder>"
        )
    say_once(f"No {_TRAIN} and {_TEST} beside {slices}/: TransUNet's own lists are used.")
    test = tuple(case for case in synapse.TEST_LIST if (volumes / f"case{case}.npy.h5").exists())
    return Lists(found, test, whole=len(found) == len(synapse.TRAIN_SLICES))


def slice_name(case: str, index: int) -> str:
    """Of the file of one slice, without its ending."""
    return f"case{case}_slice{index:03d}"


def _lines(path: Path) -> list[str]:
    """The lines of a list, each a name: it becomes a part of a file's name."""
    text = path.read_text(encoding="utf-8-sig", errors="backslashreplace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if not re.fullmatch(r"\w[\w.-]*", line):
            raise InputError(f"{path}: line {line!r} is no name of a case; correct the list")
    return lines


def _volumes(path: Path) -> tuple[str, ...]:
    """The cases of the test list, in its order."""
    cases = []
    for line in _lines(path):
        match = re.fullmatch(r"case(\w+)(\.npy\.h5)?", line)
        if not match:
            raise InputError(f"{path}: line {line!r} is not caseNNNN; correct the list")
        cases.append(match[1])
    return tuple(dict.fromkeys(cases))


def _slices(path: Path) -> dict[str, int]:
    """Case -> number of slices, which have to run from 000 without a gap."""
    indices: dict[str, list[int]] = {}
    for line in _lines(path):
        match = re.fullmatch(r"case(\w+)_slice(\d+)(\.npz)?", line)
        if not match:
            raise InputError(f"{path}: line {line!r} is not caseNNNN_sliceNNN; correct the list")
        indices.setdefault(match[1], []).append(int(match[2]))
    for case, found in indices.items():
        _check_run(path, case, found)
    return {case: len(found) for case, found in indices.items()}


def _check_run(path: Path, case: str, found: Sequence[int]) -> None:
    """A case's slices, from 000 on: without the ones between, its volume would be another."""
    twice = sorted(index for index, times in Counter(found).items() if times > 1)
    if twice:
        raise InputError(
            f"{path}: {slice_name(case, twice[0])} is listed twice; take one of the lines out"
        )
    missing = sorted({*range(max(found) + 1)} - {*found})
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{path}: case{case} is listed up to slice {max(found):03d}, but its line "
            f"{slice_name(case, missing[0])}{more} is missing; add it, or take out all lines of "
            f"case{case}"
        )
