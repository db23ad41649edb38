"""One file an organ, as TotalSegmentator has them."""

from pathlib import Path
from typing import Any

from segtrace.data.files.finding_files import existing_folder, matches, named
from segtrace.data.files.nifti import Volume, read_volume
from segtrace.data.sources import NiftiSource
from segtrace.errors import InputError, unknown

IMAGE = "*/ct.nii.gz"
ORGANS = "segmentations"


class OrganFilesSource(NiftiSource):
    """``CASE/ct.nii.gz`` and ``CASE/segmentations/ORGAN.nii.gz``; read are those in the table.

    Args:
        root: the folder of the cases.
        labels: organ -> number, each organ the name of its files; None for all that the first case
            has.
    """

    def __init__(self, root: str, labels: str | dict[str, int] | None = None) -> None:
        top = existing_folder(root)
        found = _organs(top)
        table: Any = labels or {organ: n for n, organ in enumerate(found, start=1)}
        super().__init__(root, table, images=IMAGE)
        for organ in self.numbering:
            if organ not in found:
                raise unknown("organ's file", organ, found, f"{ORGANS}/ of the first case")

    def files(self, case: str) -> tuple[Path, ...]:
        """The image, then the organs in the order of the table."""
        folder = self.root / case / ORGANS
        organs = (named(folder, "*.nii.gz", organ) for organ in self.numbering)
        return (named(self.root, IMAGE, case), *organs)

    def cases(self) -> tuple[str, ...]:
        """Every folder with a scan."""
        return tuple(sorted(matches(self.root, IMAGE)))

    def load(self, case: str) -> Volume:
        """The case as slices; its label in the numbers of the table.

        Raises:
            InputError: a file that is missing or broken, or holds more than one value beside 0; a
                voxel of two organs.
        """
        image, *organs = self.files(case)
        return read_volume(case, image, dict(zip(self.numbering.values(), organs, strict=True)))


def _organs(root: Path) -> list[str]:
    cases = sorted(matches(root, IMAGE))
    found = sorted(matches(root / cases[0] / ORGANS, "*.nii.gz")) if cases else []
    if not found:
        raise InputError(f"{root}: no {IMAGE.replace('*', 'CASE')} with {ORGANS}/; check data.root")
    return found
