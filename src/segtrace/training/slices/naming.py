"""What a loader's images are called: by its batches, by MONAI, by its data set's files."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import PurePosixPath
from typing import Any

from torch.utils.data import BatchSampler, SequentialSampler, Subset

from segtrace.errors import printable

UNNAMED = "unnamed"
"""The case of images of which nothing says what they are: they are told apart by their number."""
KEYS = ("case", "name", "path")
"""Of a batch, where its images are named."""
FILE_OF_MONAI = "filename_or_obj"
FILES = ("files", "paths", "samples", "data")
"""Of a data set, where its files are listed in order."""
NUMBERED = re.compile(r"(.+?)[ _.-]*(?:slice|sl|z)[ _.-]*(\d+)", re.IGNORECASE)
"""The name of one slice's file: its case, and its number."""
Key = tuple[str, int]


class Name(str):
    """What an image is called, which need not be its case: several may be one patient's."""

    __slots__ = ()


class File(Name):
    """The path of an image, which stands in the place of a name until all paths are known."""

    __slots__ = ()


def names_of(batch: Any, image: Any, size: int) -> list[str] | None:
    """A name or a file for every image of a batch; ``None`` where it says none.

    Args:
        batch: a mapping with names under one of :data:`KEYS` or with what MONAI's loading leaves
            beside an image, or anything.
        image: its images; a MetaTensor of MONAI's knows their files.
        size: how many there are.
    """
    held = batch if isinstance(batch, Mapping) else {}
    for key in KEYS:
        if (found := _texts(held.get(key), size)) is not None:
            kind = {"name": Name, "path": File}.get(key, str)
            return [kind(one) for one in found]
    for meta in (getattr(image, "meta", None), held.get("image_meta_dict")):
        known = meta.get(FILE_OF_MONAI) if isinstance(meta, Mapping) else None
        if (found := _texts(known, size)) is not None:
            return [File(one) for one in found]
    return None


class Files:
    """The file of every image in the order of a loader that gives one image for a file.

    Args:
        listed: the files.
        batch: images in a batch; with more of them in one, files and images do not correspond.
    """

    def __init__(self, listed: list[File], batch: int) -> None:
        self._listed, self._batch = listed, batch

    def of(self, first: int, last: int) -> list[File] | None:
        """Those of some images; ``None``, for good, once there are more images than files."""
        if last - first > self._batch or last > len(self._listed):
            self._listed = []
        return self._listed[first:last] or None


def files_of(loader: Any) -> Files | None:
    """The files of a loader's images; ``None`` where its data set lists none, or it shuffles."""
    batches = getattr(loader, "batch_sampler", None)
    if type(batches) is not BatchSampler or not isinstance(batches.sampler, SequentialSampler):
        return None
    listed = _listed(getattr(loader, "dataset", None))
    return None if listed is None else Files(listed, batches.batch_size)


def with_short_names(keys: Sequence[Key]) -> list[Key]:
    """(case, index) of images, where files have become names that tell them apart.

    A file is a case by the name of the file, without its ending; where that is the same for two of
    them, with as many folders before it as are needed. ``p1_slice012`` is slice 12 of ``p1``.
    """
    short = _short({case for case, _ in keys if isinstance(case, File)})
    found = [_numbered(short[case], index) if isinstance(case, File) else (case, index)
             for case, index in keys]  # fmt: skip
    if len(set(found)) == len(keys):
        return found
    return [(short.get(case, case), index) for case, index in keys]


def each_a_case(keys: Sequence[Key], named: Sequence[Key]) -> bool:
    """Whether every image counts as a case because nothing but its own name or file is known.

    Args:
        keys: (case, index) of images as their loader gives them.
        named: the same by :func:`with_short_names`.
    """
    own = len({case for case, _ in named}) == len(named) > 1
    return own and any(isinstance(case, Name) for case, _ in keys)


def counted(names: Iterable[str], seen: Counter[str]) -> list[Key]:
    """Each name with the number of its images before; ``seen`` counts on."""
    keys = []
    for name in names:
        keys.append((name, seen[name]))
        seen[name] += 1
    return keys


def _listed(dataset: Any) -> list[File] | None:
    if isinstance(dataset, Subset):
        inner = _listed(dataset.dataset)
        return None if inner is None else [inner[index] for index in dataset.indices]
    for name in FILES:
        listed = getattr(dataset, name, None)
        if isinstance(listed, list | tuple) and len(listed) == _length(dataset):
            found = [_file(item) for item in listed]
            if found and all(one is not None for one in found):
                return [File(one) for one in found]
    return None


def _length(dataset: Any) -> int:
    return len(dataset) if hasattr(dataset, "__len__") else -1


def _file(item: Any) -> str | None:
    """The path of an image: itself, first of several things, or under ``image``."""
    if isinstance(item, Mapping):
        item = item.get("image")
    elif isinstance(item, list | tuple) and item:
        item = item[0]
    return _text(item)


def _texts(given: Any, size: int) -> list[str] | None:
    """A text for each of so many images, out of what a batch holds; ``None`` for anything else."""
    listed = [given] if size == 1 and isinstance(given, str | PathLike) else given
    if not isinstance(listed, list | tuple) or len(listed) != size:
        return None
    found = [_text(one) for one in listed]
    return [one for one in found if one is not None] if None not in found else None


def _text(value: Any) -> str | None:
    path = fspath(value) if isinstance(value, str | PathLike) else None
    return path if isinstance(path, str) and path else None


def _short(files: Iterable[str]) -> dict[str, str]:
    """File -> the end of its path, without the ending, that no other has."""
    known = sorted({str(file) for file in files})
    parts = {file: _parts(file) for file in known}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        names = {file: printable("_".join(own[-depth:])) for file, own in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {file: printable(file) for file in known}


def _parts(file: str) -> tuple[str, ...]:
    path = PurePosixPath(file.replace("\\", "/"))
    name = path.name.removesuffix(".gz")
    stem = PurePosixPath(name).stem if not name.startswith(".") else name
    return (*(part for part in path.parent.parts if part != "/"), stem or name)


def _numbered(name: str, index: int) -> Key:
    found = NUMBERED.fullmatch(name)
    return (found[1], int(found[2])) if found and not index else (name, index)
