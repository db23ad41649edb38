"""Finding the files of a data set: folders by what is in them, cases by a pattern.

What an operating system or an unpacking program leaves beside the files is passed over: names that
start with a dot, such as the ``._img0001.nii.gz`` of macOS, and the folder ``__MACOSX``.
"""

import glob
import os
import re
from pathlib import Path

from segtrace.errors import InputError


def existing_folder(root: str | Path) -> Path:
    """The folder.

    Raises:
        InputError: there is none.
    """
    path = Path(root).expanduser()
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give data.root=<the data set's folder>")
    return path


def find_layout(root: str | Path, parts: tuple[str, ...]) -> Path:
    """The one folder at or below ``root`` that holds all the sub-folders ``parts``.

    Raises:
        InputError: none, or several (listed).
    """
    top = existing_folder(root)
    found = sorted({path.parent for path in [top / parts[0], *top.rglob(parts[0])]
                    if all((path.parent / part).is_dir() for part in parts)
                    and not _left_behind(path.relative_to(top))})  # fmt: skip
    wanted = " and ".join(f"{part}/" for part in parts)
    if not found:
        raise InputError(f"{top}: no folder with {wanted} in or below it; check data.root")
    if len(found) > 1:
        raise InputError(
            f"{top}: several folders hold {wanted}: {', '.join(map(str, found))}; "
            "give data.root=<one of them>"
        )
    return found[0]


def check_pattern(option: str, pattern: str) -> None:
    """Refuse a pattern that does not tell which part of a file's name is the case's.

    Raises:
        InputError: it is absolute, or has no ``*``, or several.
    """
    if pattern.count("*") != 1:
        raise InputError(
            f"data.{option}={pattern!r} needs one *, which stands for the case name, e.g. "
            "imagesTr/*.nii.gz"
        )
    if Path(pattern).is_absolute() or pattern == "*":
        raise InputError(
            f"data.{option}={pattern!r}; give a pattern below data.root, e.g. imagesTr/*.nii.gz"
        )


def named(root: Path, pattern: str, case: str) -> Path:
    """The compressed file of a case, or the plain one where only that exists."""
    path = root / pattern.replace("*", case)
    plain = path.with_name(path.name.removesuffix(".gz"))
    alone = not os.path.lexists(path) and os.path.lexists(plain)  # be it no file
    return plain if alone or (plain.is_file() and not path.is_file()) else path


def matches(root: Path, pattern: str) -> dict[str, Path]:
    """Case name -> file, compressed or plain.

    Raises:
        InputError: a case has both.
    """
    before, after = pattern.removesuffix(".gz").split("*")
    name = re.compile(re.escape(before) + r"([^/]+)" + re.escape(after) + r"(\.gz)?")
    found: dict[str, Path] = {}
    for path in sorted(root.glob(f"{glob.escape(before)}*{glob.escape(after)}*")):
        relative = path.relative_to(root)
        match = name.fullmatch(relative.as_posix())
        if not match or _left_behind(relative) or path.is_dir():
            continue
        if match[1] in found:
            raise InputError(
                f"case {match[1]} has two files, {found[match[1]]} and {path.name}; take one of "
                "them away"
            )
        found[match[1]] = path
    return found


def _left_behind(relative: Path) -> bool:
    """By an operating system or an unpacking program."""
    parts = [part for part in relative.parts if part != ".."]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
