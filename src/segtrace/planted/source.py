"""Planted evidence as cases, so that the pipeline trains on it as on any data set."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from segtrace.data.cases import PARTS, Split
from segtrace.data.files.geometry import Grid
from segtrace.data.files.nifti import Volume
from segtrace.errors import InputError
from segtrace.planted.images.planted import SIDE, Planted
from segtrace.planted.images.tasks import TASKS, VERSION, check_task, plant

TAG = {"train": "agreeing", "val": "absent", "test": "contrary"}
"""Part -> what the tag of ``shortcut`` does there."""

SETTINGS = ("task", "seed", "cases", "slices")
"""What a source is made from, in the order of its arguments."""
MOST = 200_000
"""Images that a checkpoint may ask for; they are made in memory."""


class PlantedSource:
    """Generated images whose deciding evidence is known; see :mod:`segtrace.planted.images`.

    Args:
        task: one of :data:`segtrace.planted.images.tasks.TASKS`.
        seed: of the generator.
        cases: number of training, validation and test cases, in this order.
        slices: of a case, an even number: each image has a twin.
    """

    channels = 1

    def __init__(
        self,
        task: str = "far",
        seed: int = 0,
        cases: Sequence[int] = (60, 6, 6),
        slices: int = 16,
    ) -> None:
        self.task, self.seed = check_task(task), seed
        if seed < 0 or len(cases) != 3 or min(cases) < 1 or slices < 2 or slices % 2:
            raise InputError(
                f"planted evidence with seed={seed}, cases={list(cases)}, slices={slices}; give a "
                "seed from 0, three numbers of cases from 1, and an even number of slices"
            )
        self.slices = slices
        self.numbering = dict(TASKS[task].classes)
        ends = np.cumsum([0, *cases]).tolist()
        self._split: Split = {
            part: tuple(f"{number:03d}" for number in range(*span))
            for part, span in zip(PARTS, pairwise(ends), strict=True)
        }

    def cases(self) -> tuple[str, ...]:
        """Every case name: training, validation, test."""
        return tuple(name for part in PARTS for name in self._split[part])

    def files(self, case: str) -> tuple[Path, ...]:
        """None: a case is made from its number."""
        return ()

    def shape(self, case: str) -> tuple[int, int, int]:
        """As many slices as were asked for, all of one size."""
        return self.slices, SIDE, SIDE

    def split(self) -> Split:
        """Training, validation and test cases."""
        return self._split

    def held_out(self) -> tuple[str, ...]:
        """The test cases."""
        return self._split["test"]

    def planted(self, case: str, index: int, tag: str | None = None) -> Planted:
        """One image of a case, with what is known of it.

        Args:
            case: its name.
            index: the slice.
            tag: one of :data:`segtrace.planted.images.tasks.TAGS`; by default that of the case's
                part.
        """
        part = next(part for part in PARTS if case in self._split[part])
        return plant(self.task, self.seed, int(case), index, tag or TAG[part])

    def load(self, case: str) -> Volume:
        """The case as slices; the files' numbers are the classes."""
        slices = [self.planted(case, index) for index in range(self.slices)]
        return Volume(
            name=case,
            image=np.stack([one.image for one in slices]),
            label=np.stack([one.label for one in slices]),
            grid=Grid((SIDE, SIDE, self.slices)),
            where=f"planted evidence, task {self.task}, case {case}",
            windowed=True,
            phantom=True,
        )

    def settings(self) -> dict[str, Any]:
        """All that the images depend on but for their numbers; :meth:`from_settings` reads it."""
        return {
            "task": self.task,
            "seed": self.seed,
            "cases": [len(self._split[part]) for part in PARTS],
            "slices": self.slices,
            "generator": VERSION,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "PlantedSource":
        """The source that gave these settings.

        Raises:
            InputError: they are of another version of the generator, or describe more than
                :data:`MOST` images.
        """
        if settings["generator"] != VERSION:
            raise InputError(
                f"planted evidence of generator {settings['generator']}; this segtrace has "
                f"{VERSION}: train it anew"
            )
        task, seed, cases, slices = (settings[name] for name in SETTINGS)
        numbers = [seed, slices, *cases] if isinstance(cases, list | tuple) else [None]
        if not all(type(number) is int for number in numbers) or sum(cases) * slices > MOST:
            raise InputError(
                f"planted evidence with seed={seed!r}, cases={cases!r}, slices={slices!r}; whole "
                f"numbers are needed, and at most {MOST} images"
            )
        return cls(str(task), seed, cases, slices)
