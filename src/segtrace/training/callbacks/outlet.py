"""Where a callback writes, and what tells it from others of its kind in the same trainer."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from segtrace.errors import InputError
from segtrace.report.sinks import Sink, sinks_of
from segtrace.tracking.writer import Writer
from segtrace.training.either_lightning import logged_into


class Outlet:
    """A folder, and the trainer's loggers for the first callback of its kind.

    Args:
        kind: name of the callback's class.
        net: name of the network that it explains.
        given: the folder; ``None`` for ``flow`` in that of the first logger, else in the trainer's.
        more: the loggers get all that is drawn.

    Attributes:
        given: the same.
        key: under which a checkpoint keeps the callback's record.
        logs: it writes to loggers, too.
    """

    def __init__(self, kind: str, net: str, given: str | None, *, more: bool) -> None:
        self._kind, self._net, self.given, self._more = kind, net, given, more
        self.key, self.logs = f"{kind}-{id(self)}", True

    def folder(self, trainer: pl.Trainer) -> Path:
        """Where its files go."""
        return Path(logged_into(trainer)) / "flow" if self.given is None else Path(self.given)

    def sinks(self, trainer: pl.Trainer) -> tuple[Sink, ...]:
        """The loggers that it writes to."""
        return sinks_of(trainer.loggers) if self.logs else ()

    def writer(self, trainer: pl.Trainer) -> Writer:
        """What writes into both."""
        return Writer(self.folder(trainer), self.sinks(trainer), self._more)

    def stand_beside(self, trainer: pl.Trainer, others: Mapping["Outlet", bool]) -> None:
        """Find what tells it from others, of which the first alone writes to loggers.

        Args:
            trainer: of all of them.
            others: each outlet -> whether its callback has begun its work in this trainer.

        Raises:
            InputError: one of them writes into the same folder.
        """
        folder = self.folder(trainer)
        if any(other.folder(trainer).resolve() == folder.resolve() for other in others):
            raise InputError(
                f"two FlowCallbacks write into {folder}; give each a folder of its own, "
                "FlowCallback(folder=…)"
            )
        root = Path(trainer.default_root_dir)
        if self.given is not None and root in folder.parents:
            folder = folder.relative_to(root)  # so that the run may be moved
        own = sha256(repr((self._net, self.given and str(folder))).encode()).hexdigest()[:12]
        self.key = f"{self._kind}-{own}" if others else self._kind
        self.logs = not any(other.logs and begun for other, begun in others.items())


def everyone_in(trainer: pl.Trainer) -> list[Any]:
    """All callbacks of a trainer."""
    found: list[Any] = getattr(trainer, "callbacks")  # noqa: B009 (set by a connector)
    return found


def come_last(trainer: pl.Trainer, callback: pl.Callback) -> None:
    """Put it behind whatever else changes weights or stops the training, but for checkpoints."""
    checkpoints: list[Any] = list(trainer.checkpoint_callbacks)
    others = [c for c in everyone_in(trainer) if c is not callback and c not in checkpoints]
    vars(trainer)["callbacks"] = [*others, callback, *checkpoints]
