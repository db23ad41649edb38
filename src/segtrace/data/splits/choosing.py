"""The split that a user asks for: a name, a file, a fold, case by case, or nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from segtrace.data.cases import Split, given_split, without
from segtrace.data.sources import CaseSource
from segtrace.data.splits.files import Parts, read_split
from segtrace.data.splits.named import NAMED, btcv24, fold, fold_numbers, published
from segtrace.errors import InputError, unknown
from segtrace.progress import say_once

Given = str | Mapping[str, Sequence[object]] | None


def chosen_split(
    source: CaseSource, given: Given = None, part: int | str | None = None, seed: int = 0
) -> Split:
    """The cases of train, val and test; val is empty where the split has none.

    Args:
        source: whose cases they are.
        given: a name of :data:`segtrace.data.splits.named.NAMED`, a file, part -> cases, or None
            for the one that comes with the data.
        part: ``"k/n"`` for a fold of the cases that are not for the test; the number of a fold
            where a file holds several.
        seed: of such folds.

    Raises:
        InputError: there is none, or none that can be.
    """
    check_given(given, part)
    cases, kept = source.cases(), source.held_out()
    if isinstance(given, str) and given not in NAMED:
        return _of_file(_path(given), part, cases, kept, seed)
    if part is not None:
        if given not in (None, "published"):
            raise InputError(f"data.fold={part} with data.split={given}; give one of the two")
        return fold(part, without(cases, kept), kept, seed)
    if isinstance(given, str):
        return _named(source, given)
    return published(source) if given is None else given_split(given, cases, kept)


def check_given(given: Given, part: int | str | None) -> None:
    """Refuse what no cases could make a split of, before any are looked at.

    Raises:
        InputError: neither a name nor a file; a fold that is none.
    """
    if isinstance(given, str) and given not in NAMED and not _path(given).is_file():
        raise unknown("split, and no file (data.split)", given, NAMED)
    if part is not None and given in (None, "published"):
        fold_numbers(part)


def _path(given: str) -> Path:
    return Path(given).expanduser()


def _named(source: CaseSource, name: str) -> Split:
    split = NAMED[name](source)
    if NAMED[name] is btcv24:
        say_once(
            "data.split=btcv24 trains on cases that the 18/12 tables test on: not to be compared."
        )
    return split


def _of_file(
    path: Path, part: int | str | None, cases: Sequence[str], kept: Sequence[str], seed: int
) -> Split:
    folds = "/" in str(part)
    parts = _known(read_split(path, None if folds else part), cases)
    if parts.get("val") and folds:
        raise InputError(f"data.fold={part}, but {path} names the validation cases itself")
    if parts.get("val"):
        return given_split(parts, cases, kept)
    unvalidated = given_split({**parts, "val": ()}, cases, kept, validated=False)
    if folds:
        return fold(part, unvalidated["train"], unvalidated["test"], seed)
    return unvalidated


def _known(parts: Parts, cases: Sequence[str]) -> Parts:
    """Names as the data set has them: files of nnU-Net carry the number of their channel."""
    bare = {f"{case}_0000": case for case in cases}
    return {part: [bare.get(name, name) for name in names] for part, names in parts.items()}
