"""The files and folders that a name, a glob, or a list of them stands for, each once."""

from collections.abc import Callable, Sequence
from pathlib import Path

from segtrace.errors import InputError


def paths_of(patterns: str | Sequence[str]) -> list[Path]:
    """The checkpoints that a name, a glob, or a list of them stands for, each once, in order.

    Raises:
        InputError: see :func:`named`.
    """
    return named("checkpoint", "file", patterns, lambda _path: True, "no such file")


def named(
    option: str,
    what: str,
    patterns: str | Sequence[str],
    usable: Callable[[Path], bool],
    otherwise: str,
) -> list[Path]:
    """The paths that a name, a glob, or a list of them stands for, each once, in order.

    Args:
        option: that they were given by.
        what: each of them is, in a word.
        patterns: names and globs.
        usable: whether a path is one that is meant.
        otherwise: what is wrong with a pattern that names none.

    Raises:
        InputError: a pattern that matches nothing usable; a path that is named twice.
    """
    found: dict[Path, None] = {}
    exactly: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        exact = Path(pattern)  # a name may hold brackets, which a glob would read
        anchor = Path(exact.anchor)
        matches = [exact] if exact.exists() else sorted(anchor.glob(str(exact.relative_to(anchor))))
        if not (meant := list(filter(usable, matches))):
            raise InputError(f"{option}={pattern}: {otherwise}")
        if exact.exists() and exact.resolve() in exactly:
            raise InputError(f"{option} names {pattern} twice; name each {what} once")
        exactly.add(exact.resolve())
        found |= dict.fromkeys(meant)
    return list(found)
