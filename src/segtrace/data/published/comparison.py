"""A folder of Synapse against what is published of it: cases, slices, and nothing else is read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel import orientations
from nibabel.filebasedimages import ImageFileError

from segtrace.data.cases import TEST12, TRAIN18, without
from segtrace.data.files.nifti import PHANTOM_MARK
from segtrace.data.published.synapse import SLICES, TRAIN_SLICES
from segtrace.data.sources import CaseSource

_UNREADABLE = (ImageFileError, OSError, EOFError, ValueError)
_SHOWN = 4


def report(source: CaseSource) -> str | None:
    """What differs from the published data set, in one line; None where nothing does.

    Read are the headers of the images alone; a file that cannot be read is told by whoever loads
    it, and so are label values other than 0 to 13. A phantom says of itself that it is one.
    """
    cases = source.cases()
    headers = {case: _header(source.files(case)[0]) for case in cases}
    if any(_is_phantom(header) for header in headers.values()):
        return None
    depths = {case: depth for case, header in headers.items() if (depth := _depth(header))}
    found = [*_cases(cases), *_slices(depths)]
    return f"Not the published Synapse as it is: {'; '.join(found)}." if found else None


def _cases(cases: Sequence[str]) -> Iterator[str]:
    published = tuple(sorted(TRAIN18 + TEST12))
    missing, more = without(published, cases), without(cases, published)
    if missing == published:
        yield f"none of its 30 cases is here, but {_few(more)}"
        return
    if missing:
        yield f"{len(missing)} of its 30 cases missing ({_few(missing)})"
    if more:
        yield f"it has no case {_few(more)}"


def _slices(depths: dict[str, int]) -> Iterator[str]:
    """Of the training cases one by one, of the test cases the sum, which alone is published."""
    other = [f"{case} has {depths[case]} slices, not {TRAIN_SLICES[case]}" for case in TRAIN18
             if depths.get(case, TRAIN_SLICES[case]) != TRAIN_SLICES[case]]  # fmt: skip
    if other:
        yield _few(other)
    expected = SLICES - sum(TRAIN_SLICES.values())
    if {*TEST12} <= {*depths} and (there := sum(depths[case] for case in TEST12)) != expected:
        yield f"the 12 test cases have {there} slices, not {expected}"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _header(path: Path) -> Any:
    try:
        return nibabel.load(path).header
    except _UNREADABLE:
        return None


def _is_phantom(header: Any) -> bool:
    mark: bool = header is not None and bytes(header["descrip"].item()).startswith(
        PHANTOM_MARK.encode()
    )
    return mark


def _depth(header: Any) -> int:
    """Slices along the axis that is nearest to the patient's; 0 where there is none."""
    try:
        axes = orientations.io_orientation(header.get_best_affine())[:, 0]
        return int(header.get_data_shape()[int(np.flatnonzero(axes == 2)[0])])
    except (AttributeError, IndexError, ValueError, ArithmeticError):
        return 0
