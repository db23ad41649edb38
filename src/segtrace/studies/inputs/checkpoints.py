"""The checkpoints that a user names, each once, and those of one training in order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segtrace.checkpoint import loading as checkpoint
from segtrace.errors import InputError

SAME = {
    "network": "networks",
    "stages": "stages",
    "organs": "organs",
    "preprocessing": "preprocessing",
}
"""What the checkpoints of one timeline have in common."""


def paths_of(patterns: str | Sequence[str]) -> list[Path]:
    """The checkpoints that a name, a glob, or a list of them stands for, each once, in order.

    Raises:
        InputError: a pattern that matches nothing; a file that is named twice.
    """
    found: dict[Path, None] = {}
    exactly: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        exact = Path(pattern)  # a name may hold brackets, which a glob would read
        anchor = Path(exact.anchor)
        below = str(exact.relative_to(anchor))
        matches = [exact] if exact.exists() else sorted(anchor.glob(below))
        if not matches:
            raise InputError(f"checkpoint={pattern}: no such file")
        if exact.exists() and exact.resolve() in exactly:
            raise InputError(f"checkpoint names {pattern} twice; name each file once")
        exactly.add(exact.resolve())
        found |= dict.fromkeys(matches)
    return list(found)


def in_order(paths: Sequence[Path]) -> dict[int, Path]:
    """Epoch -> checkpoint, rising.

    Raises:
        InputError: checkpoints of different networks, label sets, or probes; an epoch twice.
    """
    described = [(path, checkpoint.describe(path)) for path in paths]
    first, begin = described[0]
    found: dict[int, Path] = {}
    for path, description in described:
        _check_same(first, begin, path, description)
        epoch = int(description["epoch"])
        if epoch in found:
            raise InputError(
                f"{found[epoch]} and {path} are both of epoch {epoch}; a timeline takes one run, "
                "each epoch once (to compare runs: runs=…)"
            )
        found[epoch] = path
    return dict(sorted(found.items()))


def _check_same(
    first: Path, begin: Mapping[str, Any], path: Path, description: Mapping[str, Any]
) -> None:
    for key, words in SAME.items():
        if description[key] != begin[key]:
            raise InputError(
                f"{first} and {path} have different {words}; one timeline takes the checkpoints "
                "of one run"
            )
    if description["probes"]["hash"] != begin["probes"]["hash"]:
        raise InputError(
            f"{first} and {path} were watched on different slices; one timeline takes the "
            "checkpoints of one run"
        )
