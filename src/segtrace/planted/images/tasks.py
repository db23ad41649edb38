"""The tasks by their names, and one image of any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from segtrace.data.phantom.exact import Draws
from segtrace.errors import InputError, unknown
from segtrace.planted.images import discs, maze, triangle
from segtrace.planted.images.planted import Planted


@dataclass(frozen=True)
class Task:
    """What is to be segmented, and how an image is drawn.

    Attributes:
        draw: (random numbers that twins share, 1 or for the twin -1, tag) -> an image.
        classes: organ -> number in the label map.
    """

    draw: Callable[[np.random.Generator, int, str], Planted]
    classes: Mapping[str, int]


TASKS: Mapping[str, Task] = {
    **{
        name: Task(partial(discs.disc, name), discs.CLASSES) for name in ("far", "near", "shortcut")
    },
    "triangle": Task(triangle.triangle, triangle.CLASSES),
    "maze": Task(maze.maze, maze.CLASSES),
}
"""By name; the images of a task depend on its place here."""
TAGS = ("agreeing", "absent", "contrary")
"""What the tag of ``shortcut`` does; the other tasks have none."""

VERSION = 2
"""Of the generator; a change of its images needs another number."""


def plant(task: str, seed: int, case: int, index: int, tag: str = "agreeing") -> Planted:
    """One image. Odd indices are the twins of the even ones before them.

    Args:
        task: one of :data:`TASKS`.
        seed: of the data set, 0 or more.
        case: number of the case, 0 or more.
        index: number of the slice, 0 or more.
        tag: one of :data:`TAGS`, of ``shortcut`` alone; the other tasks have no tag.

    Raises:
        InputError: an unknown task or tag, a number below 0.

    >>> one, twin = plant("far", 0, 0, 0), plant("far", 0, 0, 1)
    >>> bool((one.image != twin.image)[~one.far].any()), int(one.label.max()), int(twin.label.max())
    (False, 1, 2)
    """
    check_task(task)
    if tag not in TAGS:
        raise unknown("tag", tag, TAGS)
    if min(seed, case, index) < 0:
        raise InputError(f"seed={seed}, case={case}, index={index}; give numbers from 0")
    # Twins share their pair's numbers, and variants of the tag all else.
    random = Draws(seed, list(TASKS).index(task), case, index // 2)
    return TASKS[task].draw(random, 1 if index % 2 == 0 else -1, tag)


def check_task(task: str) -> str:
    """The task.

    Raises:
        InputError: there is no such task.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS, "planted evidence")
    return task
