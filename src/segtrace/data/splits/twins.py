"""One image under two names: what was trained on would validate, or have two truths."""

import warnings
from collections.abc import Hashable, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from segtrace.data.cache.digests import Digests
from segtrace.data.cache.entries import learn_hashes
from segtrace.data.cases import Split
from segtrace.data.sources import CaseSource
from segtrace.names import file_name


def warn_of_twins(source: CaseSource, split: Split, cache: Path) -> None:
    """One warning for each image that two cases of the split have, byte for byte.

    Only files of one size are read, and none of which the cache knows the hash.

    Args:
        source: whose cases they are.
        split: part -> cases.
        cache: where prepared cases lie, with the hashes of their files.
    """
    parts = {case: part for part, cases in split.items() for case in cases}
    images = {case: files[0] for case in parts if (files := source.files(case))}
    digests = Digests()
    for alike in _groups((_size(image), case) for case, image in images.items()):
        for case in alike:
            learn_hashes(cache, file_name(case), digests)
        for same in _groups((_hash(images[case], digests), case) for case in alike):
            for one, other in pairwise(same):
                _warn(f"{one} ({parts[one]})", f"{other} ({parts[other]})", images[one],
                      apart=parts[one] != parts[other])  # fmt: skip


def _warn(one: str, other: str, image: Path, *, apart: bool) -> None:
    why = (
        "a case that was trained on says nothing about others"
        if apart
        else "one image has two labels, or counts twice"
    )
    warnings.warn(
        f"cases {one} and {other} have the same image, byte for byte ({image}): {why}; leave one "
        "of them out of data.split",
        stacklevel=4,
    )


def _groups(pairs: Iterable[tuple[Hashable, str]]) -> list[list[str]]:
    """Cases with the same key, where there are several; what has no key is passed over."""
    found: dict[Hashable, list[str]] = {}
    for key, case in pairs:
        if key is not None:
            found.setdefault(key, []).append(case)
    return [cases for cases in found.values() if len(cases) > 1]


def _size(path: Path) -> int | None:
    """Of a file; whoever reads it says what is wrong with it."""
    with suppress(OSError):
        return path.stat().st_size
    return None


def _hash(path: Path, digests: Digests) -> str | None:
    with suppress(OSError):
        return digests.of(path)
    return None
