"""Lightning is published under two names, whose classes know nothing of each other."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from segtrace.names import LIGHTNING, file_name
from segtrace.report.sinks import writes_events
from segtrace.report.tensorboard import Board


def _lightning() -> Any:
    """The package ``lightning.pytorch`` where it is installed and whole; else ``None``."""
    if find_spec("lightning") is None:
        return None
    try:
        return import_module(LIGHTNING[1])
    except Exception:  # whatever ails it is no matter of a training under the other name
        return None


def _callback() -> type:
    other = _lightning()
    return pl.Callback if other is None else type("Callback", (pl.Callback, other.Callback), {})


if TYPE_CHECKING:
    EitherCallback = pl.Callback
else:
    EitherCallback = _callback()
    """A callback for a trainer of either name."""


def tensorboard_writer(trainer: pl.Trainer) -> Board | None:
    """The writer of the first logger that has one for TensorBoard, known by what it can do."""
    for logger in trainer.loggers:
        writer: Any = getattr(logger, "experiment", None)
        if writes_events(writer):
            return writer
    return None


def logged_into(trainer: pl.Trainer) -> str:
    """The folder of the first logger's run, else the trainer's.

    Where a logger says none, as W&B's, it is the one in which Lightning keeps its checkpoints.

    ``trainer.log_dir`` says the same, but knows the loggers of its own name alone, and waits for
    all processes to ask.
    """
    for logger in trainer.loggers[:1]:
        if isinstance(place := getattr(logger, "log_dir", None), str):
            return place
        if isinstance(place := getattr(logger, "save_dir", None), str):
            named = (getattr(logger, of, None) for of in ("name", "version"))
            return str(Path(place, *(file_name(str(one)) for one in named if one is not None)))
    return str(trainer.default_root_dir)
