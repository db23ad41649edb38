"""JSON and YAML of other frameworks as plain values: nothing that they name is looked up."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrace.checkpoint.mapping_file import read_mapping
from segtrace.checkpoint.plain import plain
from segtrace.errors import InputError, printable

MOST = 2**26
"""Bytes; the list of a large data set takes some millions."""
REMEDY = "copy it again from where it was trained"


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.

    Raises:
        InputError: it is missing, cannot be read, or holds something else.
    """
    if not path.is_file():
        why = "is no plain file" if path.exists() else "does not exist"
        raise InputError(f"{path} {why}; {REMEDY}")
    try:
        if path.stat().st_size > MOST:
            raise InputError(f"{path} has more than {MOST >> 20} MiB; it is no such file")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({printable(error, 200)}); {REMEDY}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__}; an object {{…}} is needed")
    values: dict[str, Any] = plain(found, str(path))
    return values


def read_config(path: Path) -> dict[str, Any]:
    """The mapping of a file, JSON or YAML by its ending.

    Raises:
        InputError: see :func:`read_json` and
            :func:`~segtrace.checkpoint.mapping_file.read_mapping`.
    """
    return read_json(path) if path.suffix == ".json" else read_mapping(path, str(path))


def needed(given: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    """A value that must stand there.

    Args:
        given: a mapping out of a file.
        name: of the value.
        kind: what it must be.
        where: the file, for messages.

    Raises:
        InputError: it is missing, or something else.
    """
    value = given.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = {dict: "an object", list: "a list", str: "text", int: "a whole number"}
        there = "is missing" if name not in given else f"is {printable(repr(value), 80)}"
        raise InputError(f"{where}: {name} {there}; {words.get(kind, kind.__name__)} is needed")
    return value
