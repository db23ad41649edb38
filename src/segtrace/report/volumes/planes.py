"""Planes of volumes: a record of slices, cut out of one of volumes, with the volumes' numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtrace.attribution.aggregate import Aggregate
from segtrace.report.pictures.view import array
from segtrace.report.record import Record
from segtrace.report.scene import Scene

VIEWS = {"axial": ("S", "P", "L"), "coronal": ("A", "I", "L"), "sagittal": ("L", "I", "P")}
"""View -> an end of the axis that it cuts across, and whereto its rows and columns run: as
radiologists look at them, from the feet or the front, the patient's right at the left."""
OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
OF_VOLUMES = "Shown: the {} with most of the organ; colours and numbers are of the whole volume"
"""What must stand on pictures of planes."""

NUMBERS = ("kappa", "gradient_l1", "status", "scores", "region_px", "change", "completeness_error",
           "estimates")  # fmt: skip
"""Of a flow, whose last axis is that of the volumes."""


@dataclass(frozen=True)
class Direction:
    """One way to cut volumes into planes.

    Attributes:
        name: of a plane: ``axial plane``; where the patient's axes are not known ``plane``, or
            ``plane along axis 2``.
        axis: that it cuts across: 0, 1 or 2.
        rows: the axis that becomes the rows.
        columns: the axis that becomes the columns.
        flipped: those of the picture's axes, -2 and -1, that are turned round.
        ends: whereto the picture's upper, lower, left and right edges lie; empty where not known.
    """

    name: str
    axis: int
    rows: int
    columns: int
    flipped: tuple[int, ...] = ()
    ends: tuple[str, ...] = ()

    @property
    def sides(self) -> bool:
        """The patient's right is at the left of the picture."""
        return "R" in self.ends

    def of(self, volumes: Tensor, plane: int, planes: int) -> Tensor:
        """A plane (…, rows, columns) of volumes (…, D, H, W), of the cells that it runs through.

        Args:
            volumes: on any grid of the whole volume.
            plane: its number among the image's.
            planes: how many the image has along the axis.
        """
        cells = volumes.shape[self.axis - 3]
        found = volumes.select(self.axis - 3, (2 * plane + 1) * cells // (2 * planes))
        return (found if self.rows < self.columns else found.mT).flip(self.flipped)


def directions(axcodes: str) -> tuple[Direction, ...]:
    """Axial, coronal, sagittal; or, where nothing says how volumes lie, along each axis.

    >>> [(one.name, one.axis, one.flipped) for one in directions("RAS")]
    [('axial plane', 2, (-2, -1)), ('coronal plane', 1, (-2, -1)), ('sagittal plane', 0, (-2, -1))]
    >>> [one.name for one in directions("")]
    ['plane', 'plane along axis 2', 'plane along axis 3']
    """
    if not axcodes:
        names = ("plane", "plane along axis 2", "plane along axis 3")
        others = ((1, 2), (0, 2), (0, 1))
        return tuple(Direction(names[axis], axis, *others[axis]) for axis in range(3))
    found = []
    for view, ends in VIEWS.items():
        axis, rows, columns = (_axis_of(axcodes, end) for end in ends)
        turned = zip((-2, -1), (rows, columns), ends[1:], strict=True)
        flipped = tuple(dim for dim, own, end in turned if axcodes[own] != end)
        edges = (OPPOSITE[ends[1]], ends[1], OPPOSITE[ends[2]], ends[2])
        found.append(Direction(f"{view} plane", axis, rows, columns, flipped, edges))
    return tuple(found)


def _axis_of(axcodes: str, end: str) -> int:
    """The axis that runs to an end, or from it."""
    return next(axis for axis, code in enumerate(axcodes) if code in (end, OPPOSITE[end]))


def cut(record: Record, direction: Direction, at: Sequence[tuple[int, int]]) -> Record:
    """The planes ``at``, (volume, number) each, as slices; numbers stay those of the volumes."""
    flow, scene = record.flow, record.scene
    count = scene.image.shape[direction.axis - 3]
    own = [n for n, _ in at]

    def planes(volumes: Tensor, slices: int = 0) -> Tensor:
        """Of (…, N, …, D, H, W), whose axis of volumes is given."""
        return torch.stack(
            [direction.of(volumes.select(slices, n), plane, count) for n, plane in at], slices
        )

    combined = record.aggregate
    if combined is not None:
        combined = Aggregate(
            planes(combined.map, 2), combined.used[..., own], combined.stages, combined.how
        )
    numbers: dict[str, Any] = {name: values[..., own] for name in NUMBERS
                               if (values := getattr(flow, name)) is not None}  # fmt: skip
    maps = {stage: planes(volumes, 2) for stage, volumes in flow.maps.items()}
    cut_flow = replace(flow, maps=maps, prediction=planes(flow.prediction), **numbers)
    mm = scene.spacing
    cut_scene = replace(
        scene,
        image=planes(scene.image),
        cases=tuple(scene.cases[n] for n in own),
        slices=tuple(scene.slices[n] for n in own),
        planes=tuple((direction.name, plane) for _, plane in at),
        truth=None if scene.truth is None else planes(scene.truth),
        spacing=None if mm is None else mm[own][:, [direction.rows, direction.columns]],
        sides_known=direction.sides,
        ends=direction.ends,
        axcodes="",
    )
    return replace(record, flow=cut_flow, scene=cut_scene, aggregate=combined, whole=(record, own))


def through(record: Record, organ: str, volumes: Sequence[int]) -> Record:
    """Of each of these volumes the plane with most of an organ, as a slice.

    In the truth, or without one in the prediction; the middle one where neither has it. Axial
    where that is known.
    """
    direction = directions(record.scene.axcodes)[0]
    return cut(record, direction, [(n, _largest(record, organ, n, direction)) for n in volumes])


def _largest(record: Record, organ: str, n: int, direction: Direction) -> int:
    scene, prediction = record.scene, record.flow.prediction
    for mask in (scene.there(organ), scene.found(organ, prediction)):
        if mask is not None:
            others = tuple(axis for axis in range(3) if axis != direction.axis)
            sizes = np.count_nonzero(array(mask[n]), axis=others)
            if sizes.any():
                return int(sizes.argmax())
    return int(scene.image.shape[direction.axis - 3]) // 2


def words(scene: Scene) -> list[str]:
    """What must be said of the pictures of volumes; nothing of slices."""
    if not scene.of_volumes:
        return []
    return [OF_VOLUMES.format(directions(scene.axcodes)[0].name)]
