"""All that a run leaves behind, and where two runs differ."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader


def points(folder: Path) -> list[tuple[str, int, bytes]]:
    """(tag, step, value) of all that stands in the log, in order of tag and step."""
    found = []
    for path in folder.glob("events*"):
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                plain = type(value)()
                plain.CopyFrom(value)
                found.append((value.tag, event.step, plain.SerializeToString(deterministic=True)))
    return sorted(found)


def left_by(folder: Path) -> dict[str, Any]:
    """File -> what it holds, of a run and its cache; the log is one."""
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and "events" not in path.name
    }
    found: dict[str, Any] = {}
    for name, path in files.items():
        if name.endswith(".ckpt"):
            found[name] = torch.load(path, weights_only=True)
        elif name != "run/config.yaml" and not name.endswith("index.json"):
            found[name] = path.read_bytes()
        else:
            found[name] = None
    return found | {"log": points(folder / "run" / "tensorboard")}


COUNTED = ("validate_loop",)
"""Keys of a checkpoint under which Lightning counts what came before the training, and reads it no
more: a run that goes on validates no untrained network."""


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nests of values are not the same to the bit."""
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
        return [] if same and torch.equal(one.isnan(), other.isnan()) else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(map(str, one.keys() ^ other.keys()))}"]
        keys = [key for key in one if key not in COUNTED]
        return [d for key in keys for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{where}: {len(one)} and {len(other)} of them"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    same = one == other or (one != one and other != other)  # NaN
    return [] if same else [f"{where}: {str(one)[:80]} and {str(other)[:80]}"]
