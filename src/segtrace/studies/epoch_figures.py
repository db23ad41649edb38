"""The maps of a training in print and as animations, by the epochs that say most of it."""

from collections.abc import Mapping
from math import isnan
from pathlib import Path

from segtrace.names import file_name
from segtrace.report.figures.animation import Animation
from segtrace.report.figures.drawing import save_figure
from segtrace.report.figures.paper import epoch_grid
from segtrace.report.files import save_bytes
from segtrace.report.page.fitting import by_importance
from segtrace.report.record import Record
from segtrace.tracking.explained import Explained

ROWS = 8
"""Epochs in a printed grid: the first, the last, the best, and those spaced in the logarithm."""
FRAMES, FRAME_ROWS = 24, 2
"""Epochs in an animation, chosen in the same way, and slices in each of its frames."""


class EpochFigures:
    """A grid and an animation of every organ, by the leading rule.

    Args:
        epochs: all that will come, rising -> mean validation Dice, NaN where not known.
        shared_scale: one colour scale for all maps of a grid.
    """

    def __init__(self, epochs: Mapping[int, float], shared_scale: bool) -> None:
        ranked = ranks(epochs)
        self._in_grid, self._in_animation = set(ranked[:ROWS]), set(ranked[:FRAMES])
        self._shared_scale = shared_scale
        self._records: list[Record] = []
        self._animations: dict[tuple[str, str], Animation] = {}

    def add(self, explained: Explained) -> None:
        """Keep of the next epoch what will be shown."""
        epoch = explained.record.epoch
        if epoch in self._in_grid:
            self._records.append(explained.record)
        if epoch in self._in_animation:
            self._animate(explained)

    def _animate(self, explained: Explained) -> None:
        """Keep a frame of every organ; all frames show the same slices."""
        record, rule = explained.record, explained.record.flow.rules[0]
        for organ in record.flow.organs:
            # Without a truth the most telling slices would change from epoch to epoch.
            fixed = range(min(FRAME_ROWS, len(record.scene.cases)))
            rows = list(fixed) if record.scene.truth is None else FRAME_ROWS
            frames = self._animations.setdefault((rule, organ), Animation())
            frames.add(explained.picture(rule, organ, rows))

    def write(self, folder: Path) -> None:
        """``animation_{rule}_{organ}.gif`` and ``epoch_grid_{rule}_{organ}``; none of one epoch."""
        if len(self._records) < 2:
            return
        for (rule, organ), animation in self._animations.items():
            if organ in self._records[-1].organs_here:
                name = f"{file_name(rule)}_{file_name(organ, self._records[-1].flow.organs)}"
                save_bytes(folder / f"animation_{name}.gif", animation.gif())
                shared = self._shared_scale
                figure, caption = epoch_grid(self._records, organ, rule, shared=shared)
                save_figure(folder, f"epoch_grid_{name}", figure, caption)


def ranks(epochs: Mapping[int, float]) -> list[int]:
    """The epochs, those that a selection should hold first; as on the page.

    Args:
        epochs: epoch -> mean Dice, NaN where not known.

    >>> ranks({0: 0.1, 1: 0.5, 2: 0.9, 3: 0.8, 4: 0.7})
    [4, 0, 2, 1, 3]
    """
    names = list(epochs)
    known = [i for i, name in enumerate(names) if not isnan(epochs[name])]
    best = max(known, key=lambda i: epochs[names[i]], default=None)
    return [names[i] for i in by_importance(names, best)]
