"""Where pictures, texts and curves of a training are shown: the logger that its trainer has.

A sink is known by what its logger can do, and a logger of whatever class that can do the same is
one. The step of everything is the epoch.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib import import_module
from time import time
from typing import Any, Protocol

from segtrace.report.pictures.cells import Picture
from segtrace.report.tensorboard import (
    BY_EPOCH,
    Board,
    add_chart,
    add_picture,
    add_scalars,
    add_text,
)

EPOCH = "segtrace/epoch"
"""The axis of what is logged to Weights & Biases, whose own steps count calls."""
ODD = re.compile(r"[^\w\-. /]", re.ASCII)
"""What MLflow takes in no name."""


class Sink(Protocol):
    """Takes what an epoch has to show."""

    def begin(self) -> None:
        """Say once a run, before anything is shown, that the step of everything is the epoch."""
        ...

    def picture(self, tag: str, picture: Picture, epoch: int) -> None:
        """Show (H, W, 3), 0 to 255, of many colours."""
        ...

    def chart(self, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
        """Show (H, W, 3), 0 to 255, of few colours; ``encoded`` is its PNG."""
        ...

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Show Markdown."""
        ...

    def scalars(self, values: Mapping[str, float], epoch: int, words: Mapping[str, str]) -> None:
        """Add one point to each curve: tag -> value; ``words``: tag -> what the curve shows."""
        ...


@dataclass(frozen=True)
class TensorBoardSink:
    """TensorBoard, by the writer of its event files."""

    board: Board

    def begin(self) -> None:
        """Each point brings its step."""

    def picture(self, tag: str, picture: Picture, epoch: int) -> None:
        """Show it as a JPEG."""
        add_picture(self.board, tag, picture, epoch)

    def chart(self, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
        """Show the PNG."""
        add_chart(self.board, tag, picture, encoded, epoch)

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Show names in it as they are."""
        add_text(self.board, tag, text, epoch)

    def scalars(self, values: Mapping[str, float], epoch: int, words: Mapping[str, str]) -> None:
        """Add them as one record."""
        add_scalars(self.board, values, epoch, words)


class WandbSink:
    """A run of Weights & Biases.

    Args:
        run: ``wandb.Run``.
    """

    def __init__(self, run: Any) -> None:
        self.run, self.wandb = run, import_module("wandb")

    def begin(self) -> None:
        """Have the run draw what comes by epochs over them."""
        for start in BY_EPOCH:
            if start.endswith("/"):
                self.run.define_metric(f"{start}*", step_metric=EPOCH)

    def picture(self, tag: str, picture: Picture, epoch: int) -> None:
        """Show it."""
        self._log({tag: self.wandb.Image(picture)}, epoch)

    def chart(self, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
        """Show it."""
        self._log({tag: self.wandb.Image(picture)}, epoch)

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Show it line by line; nothing in it is HTML."""
        shown = f'<pre style="white-space: pre-wrap">{escape(text)}</pre>'
        self._log({tag: self.wandb.Html(shown, inject=False)}, epoch)

    def scalars(self, values: Mapping[str, float], epoch: int, words: Mapping[str, str]) -> None:
        """Add them at once."""
        self._log(dict(values), epoch)

    def _log(self, values: dict[str, Any], epoch: int) -> None:
        self.run.log({**values, EPOCH: epoch})


@dataclass(frozen=True)
class MlflowSink:
    """A run of MLflow; texts are artifacts, a file an epoch.

    Attributes:
        client: ``mlflow.MlflowClient``.
        run: its id.
    """

    client: Any
    run: str

    def begin(self) -> None:
        """Each point brings its step."""

    def picture(self, tag: str, picture: Picture, epoch: int) -> None:
        """Show it."""
        self.client.log_image(self.run, picture, key=ODD.sub("_", tag), step=epoch)

    def chart(self, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
        """Show it."""
        self.picture(tag, picture, epoch)

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Keep it beside those of other epochs."""
        self.client.log_text(self.run, text, f"{ODD.sub('_', tag)}/epoch_{epoch:03d}.md")

    def scalars(self, values: Mapping[str, float], epoch: int, words: Mapping[str, str]) -> None:
        """Add them at once."""
        metric, now = import_module("mlflow.entities").Metric, int(1000 * time())
        points = [metric(ODD.sub("_", tag), value, now, epoch) for tag, value in values.items()]
        self.client.log_batch(self.run, metrics=points)


@dataclass(frozen=True)
class NumbersSink:
    """A logger that takes numbers alone, as Lightning's into CSV."""

    logger: Any

    def begin(self) -> None:
        """Each row brings its step."""

    def picture(self, tag: str, picture: Picture, epoch: int) -> None:
        """Left to the folder of the run."""

    def chart(self, tag: str, picture: Picture, encoded: bytes, epoch: int) -> None:
        """Left to the folder of the run."""

    def text(self, tag: str, text: str, epoch: int) -> None:
        """Left to the folder of the run."""

    def scalars(self, values: Mapping[str, float], epoch: int, words: Mapping[str, str]) -> None:
        """Add them as one row."""
        self.logger.log_metrics(dict(values), step=epoch)


def sinks_of(loggers: Iterable[Any]) -> tuple[Sink, ...]:
    """What these loggers of Lightning, of either name, can show, in their order."""
    return tuple(_sink_of(logger) for logger in loggers)


def show_pictures(sinks: Iterable[Sink]) -> bool:
    """Whether any of them takes more than numbers."""
    return any(not isinstance(sink, NumbersSink) for sink in sinks)


def writes_events(experiment: Any) -> bool:
    """Whether it is a writer of TensorBoard's event files."""
    files = getattr(experiment, "_get_file_writer", None)
    # A dummy logger has every attribute, and gives nothing.
    return callable(files) and hasattr(files(), "add_summary")


def _sink_of(logger: Any) -> Sink:
    experiment: Any = getattr(logger, "experiment", None)
    if writes_events(experiment):
        return TensorBoardSink(experiment)
    if hasattr(experiment, "define_metric") and isinstance(experiment.id, str):
        return WandbSink(experiment)
    if hasattr(experiment, "log_image") and isinstance(getattr(logger, "run_id", None), str):
        return MlflowSink(experiment, logger.run_id)
    return NumbersSink(logger)
