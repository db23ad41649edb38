"""A split that a file holds: nnU-Net's folds, the Decathlon's lists, or plain parts.

A file is data: its names are compared with those of the cases, and nothing else is done with them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from segtrace.data.cases import PARTS
from segtrace.errors import InputError, shown, why

MOST = 16 * 2**20
"""Bytes of such a file."""
_ALSO = {"training": "train", "validation": "val"}
"""Parts as the Decathlon's and MONAI's files call them -> as we do."""
_FORMS = (
    "a mapping {train: […], val: […], test: […]} of case names, nnU-Net's splits_final.json, or "
    "the dataset.json of the Decathlon"
)

Parts = dict[str, list[str]]


def read_split(path: Path, fold: object = None) -> Parts:
    """Part -> names of cases, as the file has them; parts that it lacks are left out.

    Args:
        path: JSON, YAML, or text such as ``train: 0005 0006``.
        fold: which of nnU-Net's folds, from 0.

    Raises:
        InputError: it cannot be read, or holds something else; a fold that is not there.
    """
    content = _content(path)
    if isinstance(content, list):
        content = _of_folds(path, content, fold)
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: {shown(content)} is no split; write {_FORMS}")
    named = {_ALSO.get(str(key), str(key)): value for key, value in content.items()}
    parts = {part: _names(path, part, named[part]) for part in PARTS if part in named}
    if "training" in content:  # whose test images come without labels
        parts.pop("test", None)
    if not parts.get("train"):
        raise InputError(f"{path}: no cases to train on; write {_FORMS}")
    return parts


def _content(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST:
            raise InputError(f"{path}: {path.stat().st_size} bytes are too many for a split")
        text = path.read_text(encoding="utf-8-sig")
        # The base loader knows text, lists and mappings alone: 0010 stays 0010.
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, yaml.BaseLoader)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({why(error)})") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as a split ({reason}); write {_FORMS}") from error


def _of_folds(path: Path, folds: Sequence[Any], fold: object) -> Any:
    """One of nnU-Net's."""
    known = f"0 to {len(folds) - 1}"
    if not folds:
        raise InputError(f"{path}: it holds no fold; write {_FORMS}")
    if fold is None:
        raise InputError(f"{path}: it holds {len(folds)} folds; say which, data.fold=0 ({known})")
    match = re.fullmatch(r"\d{1,4}", str(fold))
    if not match or int(match[0]) >= len(folds):
        raise InputError(f"data.fold={fold}; {path} holds folds {known}")
    return folds[int(match[0])]


def _names(path: Path, part: str, values: Any) -> list[str]:
    """Of a list of names, of files or of pairs of them, or of one line of text."""
    if isinstance(values, str):
        values = [word for word in re.split(r"[,\s]+", values) if word]
    if not isinstance(values, list):
        raise InputError(f"{path}: {part} is {shown(values)}; write a list of case names")
    return [_name(path, part, value) for value in values]


def _name(path: Path, part: str, value: Any) -> str:
    name = value.get("image") if isinstance(value, Mapping) else value
    if isinstance(name, list) and name:  # several channels of one case
        name = name[0]
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str):
        raise InputError(f"{path}: {shown(value)} in {part} is no name of a case")
    return re.sub(r"\.nii(\.gz)?$", "", PurePosixPath(name).name)
