"""The checkpoint that a training goes on from: whole, full, and values and tensors alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtrace.errors import InputError
from segtrace.training.reading import read

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
STATE: Mapping[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
}
"""What Lightning writes into a full checkpoint, and takes up again."""


def resumable(path: Path) -> Path:
    """The checkpoint to go on from: this one, or the one before it where this one is damaged.

    Raises:
        InputError: no such checkpoint, a damaged one without a whole one before it, or one that
            holds no state of a training.
    """
    try:
        _check(path)
    except InputError as error:
        before = path.with_name(PREVIOUS)
        if path.name != LAST or not before.is_file():
            raise
        try:
            _check(before)
        except InputError as other:
            raise InputError(f"{error}; nor does the one before it help: {other}") from error
        print(f"{error}. Going on from {before}, the one before it.")
        return before
    return path


def _check(path: Path) -> None:
    if not path.exists():
        raise InputError(f"resume={path}: no such file; name a run's {LAST}")
    saved = read(path, numpy=False)  # as strictly as Lightning will
    lacking = [name for name, kind in STATE.items() if not _holds(saved, name, kind)]
    if lacking:
        raise InputError(
            f"{path} holds no state of a training to go on from ({', '.join(lacking[:3])}); name a "
            f"run's {LAST}"
        )


def _holds(saved: Mapping[str, Any], name: str, kind: type) -> bool:
    return name in saved and isinstance(saved[name], kind)
