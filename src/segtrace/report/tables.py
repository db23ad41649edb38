"""Numbers as CSV: a header that stays, rows that are added whole."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from segtrace.errors import InputError, why
from segtrace.plain_files import check_own, check_plain
from segtrace.report.files import atomic, growing, writing

Row = Mapping[str, object]
WHOLE = "put a whole one in its place, or move it away and do without what it held"
"""What to do with a table that is damaged."""
FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that a spreadsheet would work out, or that was kept from it."""


def guarded(value: object) -> object:
    """A field that spreadsheets show as it is: a formula gets an apostrophe, a number stays.

    >>> guarded("=1+1"), guarded(-0.5), guarded("-0.5"), guarded("liver")
    ("'=1+1", -0.5, '-0.5', 'liver')
    """
    return _guarded_text(value) if isinstance(value, str) else value


@lru_cache(4096)  # names of organs and stages stand in every row
def _guarded_text(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def _given(field: str) -> str:
    """Undoes :func:`guarded`."""
    held = field.startswith("'") and FORMULA.match(field)
    return field[1:] if held else field


def _is_number(text: str) -> bool:
    """A number as it is written here: read back and written again it stays one."""
    try:
        float(text)
    except ValueError:
        return False
    return text.startswith("-")


def _lines(rows: Sequence[Row], header: Sequence[str], *, titled: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if titled:
        writer.writerow(header)
    writer.writerows([guarded(row.get(name, "")) for name in header] for row in rows)
    return text.getvalue().encode(errors="backslashreplace")


def _check_columns(path: Path, rows: Sequence[Row], header: Sequence[str]) -> None:
    unknown = sorted({name for row in rows for name in row} - set(header))
    if unknown:
        raise InputError(
            f"{path}: no column {unknown[0]!r} in this table, which has {', '.join(header)}"
        )


def read_table(path: Path | str, *, torn: bool = False) -> list[dict[str, str]]:
    """All rows, as text as it was given; an empty list if the file does not exist.

    Args:
        path: the file.
        torn: leave out a last line without an end, which a killed run may leave.

    Raises:
        InputError: it is no table, cannot be read, or was cut short: its last line has no end, or a
            row has more or fewer fields than the header.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        check_plain(path)
        text = path.read_bytes().decode("utf-8")
        text = text[: text.rfind("\n") + 1] if torn else text
        header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {why(error)}; {WHOLE}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _damaged(path, error) from error
    if text and not text.endswith("\n"):
        raise _damaged(path, "it was cut short: its last line has no end")
    for number, row in enumerate(rows, 2):
        if row and len(row) != len(header):
            found = f"{len(row)} values for {len(header)} columns"
            raise _damaged(path, f"line {number} has {found}: it was cut short or changed")
    return [dict(zip(header, map(_given, row), strict=True)) for row in rows if row]


def _damaged(path: Path, how: Exception | str) -> InputError:
    return InputError(f"{path} is damaged ({how}); {WHOLE}")


def save_table(path: Path | str, rows: Sequence[Row], header: Sequence[str] | None = None) -> None:
    """Write rows as a new table; NaN stands as ``nan``, what a row lacks as an empty field.

    Args:
        path: the file; replaced if it exists.
        rows: column -> value.
        header: the columns in order; default those of the rows in order of appearance.

    Raises:
        InputError: if a row has a column that the header lacks, or the file cannot be written.
    """
    names = list(header or dict.fromkeys(name for row in rows for name in row))
    _check_columns(Path(path), rows, names)
    with atomic(path) as file:
        file.write(_lines(rows, names, titled=True))


def append_rows(path: Path | str, rows: Sequence[Row], header: Sequence[str] | None = None) -> None:
    """Add rows to a table, or begin it; the header that is there stays.

    A column that the table lacks, which an older run may have left, is added to it, and is empty in
    the rows before.

    Raises:
        InputError: if it cannot be written.
    """
    path = Path(path)
    _check_writable(path)
    if not path.exists():
        return save_table(path, rows, header)
    with path.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    more = dict.fromkeys(name for row in rows for name in row if name not in names)
    if more:
        return save_table(path, [*read_table(path), *rows], [*names, *more])
    with growing(path) as file:
        file.write(_lines(rows, names, titled=False))
    return None


def forget_rows(path: Path | str, column: str, since: int) -> None:
    """Drop the rows whose ``column`` is ``since`` or more: what a resumed run writes anew.

    With them goes a last line without an end, which a killed run may leave.

    Raises:
        InputError: it is no table, not of that column, a link, no plain file, or may not be
            written.
    """
    _check_writable(Path(path))
    _cut_torn_line(Path(path))
    rows = read_table(path)
    try:
        kept = [row for row in rows if int(row[column]) < since]
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(Path(path), error) from error
    if len(kept) < len(rows):
        save_table(path, kept, list(rows[0]))


def _check_writable(path: Path) -> None:
    """Refuse what takes no rows: what is no file of the run, or another user's."""
    check_own(path)
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise InputError(
            f"{path} may not be written by this user; move it away, or name another folder"
        )


def _cut_torn_line(path: Path) -> None:
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with writing(path):
            os.truncate(path, content.rfind(b"\n") + 1)
