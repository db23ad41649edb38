"""Whether a label's numbers can be the organs they are taken for: said before a network learns it.

Files of the same scans circulate with several orders of organs. A wrong one is seen by anatomy:
what is taken for the liver is then smaller than a kidney, or lies on the patient's left.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrace.data.files.findings import Finding
from segtrace.data.published.numberings import NUMBERINGS

SMALLER = ("spleen", "left_kidney", "right_kidney", "pancreas", "gallbladder")
"""Smaller than a liver that is seen whole."""
FROM_RIGHT = ("liver", "spleen"), ("right_kidney", "left_kidney")
"""Of each pair the first lies on the patient's right of the second."""
BETWEEN = ("left_kidney", "aorta", "right_kidney")
"""From one side of the patient to the other, whichever it is."""
_ORGANS = {"liver", *SMALLER, *BETWEEN}
_FEW = 255
"""The largest number up to which voxels are counted without sorting them first."""


@dataclass(frozen=True)
class _Seen:
    """An organ in a label: its voxels, its middle from column 0 on, and whether it is cut off."""

    voxels: int
    x: float
    cut: bool


def judge_order(
    label: NDArray[np.generic], numbering: Mapping[str, int], sides_known: bool
) -> tuple[Finding, ...]:
    """Why the numbers cannot be these organs, if anatomy speaks against it: one finding or none.

    An organ that is not there says nothing, nor does the size of a liver that the scan cuts off.

    Args:
        label: (D, H, W) numbers of a file, column 0 the patient's right if that is known.
        numbering: organ -> number.
        sides_known: whether it is.
    """
    seen = _seen(label)
    against = list(_against(seen, numbering, sides_known))
    if not against:
        return ()
    others = " or ".join(_agreeing(seen, numbering, sides_known))
    remedy = f"; data.labels={others} would agree with it" if others else ""
    words = f"{' and '.join(against)}, against anatomy: are these the numbers of the files?{remedy}"
    return (Finding("order of organs", words),)


def _agreeing(
    seen: Mapping[int, _Seen], numbering: Mapping[str, int], sides_known: bool
) -> list[str]:
    """Named numberings that know these numbers and organs, no more than need be, and no fault."""
    fitting = {
        name: table
        for name, table in NUMBERINGS.items()
        if {*seen} <= {*table.values()}
        and {*numbering} <= {*table}
        and not any(_against(seen, table, sides_known))
    }
    fewest = min(map(len, fitting.values()), default=0)
    return [name for name, table in fitting.items() if len(table) == fewest]


def _against(
    seen: Mapping[int, _Seen], numbering: Mapping[str, int], sides_known: bool
) -> Iterator[str]:
    known = sorted(_ORGANS & {*numbering})
    there = {name: seen[numbering[name]] for name in known if numbering[name] in seen}
    called = {name: f"{name.replace('_', ' ')} ({numbering[name]})" for name in there}
    liver = there.get("liver")
    if liver and not liver.cut:
        larger = [name for name in SMALLER if name in there and there[name].voxels >= liver.voxels]
        if larger:
            names = ", ".join(called[name] for name in larger)
            yield f"its {called['liver']} is no larger than its {names}"
    if all(name in there for name in BETWEEN):
        one, middle, other = (there[name].x for name in BETWEEN)
        if not min(one, other) < middle < max(one, other):
            yield f"its {called['aorta']} does not lie between its kidneys"
    for right, left in FROM_RIGHT if sides_known else ():
        if right in there and left in there and there[right].x >= there[left].x:
            yield f"its {called[right]} lies on the patient's left of its {called[left]}"


def _seen(label: NDArray[np.generic]) -> dict[int, _Seen]:
    """Every number but 0."""
    numbers, columns = _columns(label)
    x = (columns * np.arange(label.shape[2])).sum(1) / columns.sum(1)
    ends = [label.take(end, axis) for axis in range(3) for end in (0, -1)]
    cut = np.isin(numbers, np.concatenate([end.ravel() for end in ends]))
    return {
        int(number): _Seen(int(columns[row].sum()), float(x[row]), bool(cut[row]))
        for row, number in enumerate(numbers)
    }


def _columns(label: NDArray[np.generic]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The numbers but 0, and (N, W) voxels of each in every column.

    All at once: a pass over a large label for each takes seconds.
    """
    width = label.shape[2]
    if label.dtype.kind in "iu" and label.min() >= 0 and label.max() <= _FEW:
        cells = np.zeros((int(label.max()) + 1) * width, np.int64)
        columns = np.broadcast_to(np.arange(width, dtype=np.int32), label.shape[1:])
        for plane in label:  # which stays in the processor's cache
            some = plane != 0
            which = plane[some].astype(np.int32) * np.int32(width) + columns[some]
            cells += np.bincount(which, minlength=len(cells))
        numbers = np.flatnonzero(cells.reshape(-1, width).any(1))
        return numbers, cells.reshape(-1, width)[numbers]
    places = np.flatnonzero(label != 0)
    found, which = np.unique(label.ravel()[places], return_inverse=True)
    cells = np.bincount(which * width + places % width, minlength=len(found) * width)
    return found, cells.reshape(len(found), width)
