"""The checkpoints that a user names: those of one training in order, or one of each of several."""

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


def of_several_runs(paths: Sequence[Path]) -> dict[str, Path]:
    """Name -> checkpoint of networks that are replicates: one a run, of the same kind.

    Raises:
        InputError: checkpoints of different networks or label sets; two of one run.
    """
    first, begin = paths[0], checkpoint.describe(paths[0])
    folders: dict[Path, Path] = {}
    for path in paths:
        _check_kind(first, begin, path, checkpoint.describe(path), "compare networks of one kind")
        other = folders.setdefault(path.resolve().parent, path)
        if other is not path:
            raise InputError(
                f"{other} and {path} are of one run, which is one network; give one checkpoint of "
                "each run: checkpoint='multirun/…/*/checkpoints/epoch_010.ckpt'"
            )
    return {f"network_{n}": path for n, path in enumerate(paths, 1)}


def _check_kind(
    first: Path, begin: Mapping[str, Any], path: Path, description: Mapping[str, Any], what: str
) -> None:
    for key, words in SAME.items():
        if description[key] != begin[key]:
            raise InputError(f"{first} and {path} have different {words}; {what}")


def _check_same(
    first: Path, begin: Mapping[str, Any], path: Path, description: Mapping[str, Any]
) -> None:
    what = "one timeline takes the checkpoints of one run"
    _check_kind(first, begin, path, description, what)
    if description["probes"]["hash"] != begin["probes"]["hash"]:
        raise InputError(
            f"{first} and {path} were watched on different slices; one timeline takes the "
            "checkpoints of one run"
        )
