"""Volumes as the page holds them: their planes as slices, and the volumes' numbers beside each."""

from dataclasses import dataclass

from segtrace.report.record import Record
from segtrace.report.volumes.planes import cut, directions

MOST_VOXELS = 2**22
"""Of all volumes on a page; of larger ones every second plane is left out, and so on."""


@dataclass(frozen=True)
class Shown:
    """What the page shows of a record.

    Attributes:
        record: of slices.
        of: the number of the image, slice or volume, that each of them is of.
    """

    record: Record
    of: list[int]

    @classmethod
    def by(cls, record: Record, view: int = 0) -> "Shown":
        """The slices themselves, or the planes of the volumes.

        Args:
            record: of either.
            view: which planes: axial, coronal or sagittal, where they are known.
        """
        scene = record.scene
        if not scene.of_volumes:
            return cls(record, list(range(len(scene.cases))))
        direction = directions(scene.axcodes)[view]
        planes, step = scene.image.shape[direction.axis - 3], 1
        while scene.image[:, 0].numel() / step > MOST_VOXELS and step < planes:
            step *= 2
        at = [(n, plane) for n in range(len(scene.cases)) for plane in range(0, planes, step)]
        return cls(cut(record, direction, at), [n for n, _ in at])
