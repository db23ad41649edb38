"""What a finished run left behind, read back; files that are broken are named."""

import csv
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from segtrace.checkpoint.mapping_file import read_mapping
from segtrace.errors import InputError
from segtrace.plain_files import check_plain

Kinds = Mapping[str, Callable[[str], Any]]
"""Column -> what makes a value of its text, or raises ``ValueError``."""
REMEDY = "name another run, or train this one again"


def typed_rows(path: Path, kinds: Kinds, others: Kinds | None = None) -> list[dict[str, Any]]:
    """The rows of a table with the columns that are needed, each as its kind.

    ``others`` are columns that are read where the table has them.

    Raises:
        InputError: a file that is missing, cut short or no table of this kind; a value that its
            column does not take. Names file, line and column.
    """
    lines = _lines(path)
    if not lines:
        raise InputError(f"{path} is empty; {REMEDY}")
    header, *rows = lines
    missing = [column for column in kinds if column not in header]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}, so it is no table of train.py; {REMEDY}"
        )
    known = {**{name: kind for name, kind in (others or {}).items() if name in header}, **kinds}
    return [
        _typed(dict(zip(header, row, strict=True)), known, f"{path}, line {number}")
        for number, row in enumerate(rows, 2)
        if _is_whole(path, number, row, header)
    ]


def _lines(path: Path) -> list[list[str]]:
    try:
        check_plain(path)
        text = path.read_bytes().decode("utf-8")
        if text and not text.endswith("\n"):
            raise InputError(f"{path} was cut short: its last line has no end; {REMEDY}")
        return [line for line in csv.reader(StringIO(text, newline="")) if line]
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {REMEDY}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {REMEDY}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no table; {REMEDY}") from error


def _is_whole(path: Path, number: int, row: list[str], header: list[str]) -> bool:
    if len(row) != len(header):
        raise InputError(
            f"{path}, line {number} has {len(row)} values for {len(header)} columns: it was cut "
            f"short or changed; {REMEDY}"
        )
    return True


def _typed(row: Mapping[str, str], kinds: Kinds, where: str) -> dict[str, Any]:
    found = {}
    for column, kind in kinds.items():
        try:
            found[column] = kind(row[column])
        except (ValueError, KeyError) as error:
            raise InputError(
                f"{where}: {row[column]!r} cannot stand in column {column!r}; {REMEDY}"
            ) from error
    return found


def seed_of(folder: Path) -> int:
    """The seed in a run's own configuration.

    Raises:
        InputError: no such file, or one without a whole number as seed.
    """
    path = folder / "config.yaml"
    try:
        seed = read_mapping(path, str(path)).get("seed")
    except InputError as error:
        raise InputError(f"{error}; {REMEDY}") from error
    if type(seed) is not int:
        raise InputError(f"{path}: seed is {seed!r}, and train.py writes a whole number; {REMEDY}")
    return seed
