"""Where a NIfTI file's voxels lie: what its header says of it, and whether it contradicts itself.

A header may say it twice, with two affines (``sform`` and ``qform``, each with a code, 0 for "not
given"), and the size of a voxel a third time (``pixdim``).
"""

from typing import Any

import numpy as np
from nibabel import orientations
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from segtrace.data.files.findings import Finding, doubted
from segtrace.data.files.geometry import Grid

Affine = NDArray[np.float64]

PLACING = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip
"""Fields of a header that say where voxels lie, beside ``pixdim``."""
_UNITS = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}  # mm; whoever writes no unit means mm
_ITK_IDENTITY = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_SIZE = 0.01  # relative; headers store float32
_SMALLEST, _LARGEST = 0.005, 100.0  # mm of a voxel
_OBLIQUE = 30.0  # degrees
_STRETCHED = 0.01  # relative, of a distance
_FALLBACK = "so it is read as stored, and no side is named"


def place(
    header: Any, affine: Affine, shape: tuple[int, int, int], where: str
) -> tuple[Grid, tuple[Finding, ...]]:
    """The grid of a file, and what makes it doubtful: it says neither sides nor mm that are.

    Args:
        header: nibabel's, as the file has it: reading it with checks replaces a size of 0 by 1.
        affine: the one to go by, as nibabel chooses it.
        shape: of the volume.
        where: the file, for messages.

    Raises:
        InputError: an affine that is not finite or folds an axis away.
    """
    grid = Grid.from_affine(shape, affine, where, _UNITS[unit(header)])
    found = _placeholder(header, affine) or _contradictions(header, affine)
    found = [*found, *_strange_size(header, grid), *_oblique(affine), *_sheared(affine)]
    grid = grid.doubting(sides=doubted(found, "sides"), spacing=doubted(found, "millimetres"))
    return grid, tuple(found)


def given(header: Any, form: str) -> bool:
    """Whether the header says that it gives this affine, ``sform`` or ``qform``."""
    return int(header[f"{form}_code"]) > 0


def placed(header: Any, affine: Affine) -> bool:
    """Whether the header says at all where the voxels lie: not by a placeholder."""
    return has_affine(header) and not _is_identity(affine)


def has_affine(header: Any) -> bool:
    """Whether the header gives any affine, be it a placeholder."""
    return given(header, "sform") or given(header, "qform")


def placing(header: Any) -> dict[str, Any]:
    """What a header says of the place of its voxels, field by field, in plain values.

    Another file on the same grid that says the same lies on it in every viewer, whichever of the
    two affines that goes by. Further axes have steps of 1.
    """
    fields = {name: header[name].tolist() for name in PLACING}
    return fields | {"pixdim": [*header["pixdim"][:4].tolist(), 1, 1, 1, 1]}


def unit(header: Any) -> str:
    """Of its lengths, by NIfTI's name; mm where it says none that exists."""
    try:
        found = str(header.get_xyzt_units()[0])
    except (KeyError, HeaderDataError):
        return "mm"
    return found if found in _UNITS else "mm"


def _is_identity(affine: Affine) -> bool:
    """In NIfTI's axes or in those of ITK (left, posterior, superior), as SimpleITK writes it."""
    return any(bool((affine == nothing).all()) for nothing in (np.eye(4), _ITK_IDENTITY))


def _axes_of(affine: Affine) -> str:
    return "" if affine[0, 0] > 0 else " in the axes of ITK"


def _pixdim(header: Any) -> NDArray[np.float64]:
    return np.abs(np.asarray(header["pixdim"][1:4], np.float64))


def _placeholder(header: Any, affine: Affine) -> list[Finding]:
    """Headers that were written by a program that knew nothing."""
    sizes = _pixdim(header)
    unit_size = bool((sizes == 1).all())
    if not has_affine(header):
        words = "its header does not say how the patient lies (sform and qform codes are 0)"
        doubts = ("sides", "millimetres") if unit_size else ("sides",)
        return [Finding("no orientation", f"{words}, {_FALLBACK}", doubts)]
    if _is_identity(affine):
        form = "sform" if given(header, "sform") else "qform"
        words = (
            f"its affine ({form}) is the identity{_axes_of(affine)}, as of a program that knows "
            "neither place nor size"
        )
        words += "" if unit_size else f" (its pixdim says {_times(sizes)} mm)"
        return [Finding("placeholder", f"{words}, {_FALLBACK}", ("sides", "millimetres"))]
    return []


def _contradictions(header: Any, affine: Affine) -> list[Finding]:
    """Between the two affines, and between the first of them and the size of a voxel."""
    if not given(header, "sform"):
        return []
    found = []
    sizes = _pixdim(header)
    if not np.allclose(_norms(affine), sizes, rtol=_SAME_SIZE, atol=0):
        words = (
            f"its sform says that a voxel is {_times(_norms(affine))} mm, its pixdim "
            f"{_times(sizes)}, so nothing is measured in mm"
        )
        found.append(Finding("two sizes", words, ("millimetres",)))
    other = _qform(header) if given(header, "qform") else None
    if other is not None and (apart := _degrees(affine, other)) > _OBLIQUE:
        words = (
            f"its sform and its qform lie {apart:.0f}° apart ({_towards(affine)} and "
            f"{_towards(other)}); the sform is followed, and no side is named"
        )
        found.append(Finding("two orientations", words, ("sides",)))
    return found


def _degrees(one: Affine, other: Affine) -> float:
    """The largest angle between their axes."""
    cosines = (one[:3, :3] / _norms(one) * (other[:3, :3] / _norms(other))).sum(0)
    return float(np.degrees(np.arccos(cosines.clip(-1, 1))).max())


def _qform(header: Any) -> Affine | None:
    """The second affine, if what is written there is one."""
    try:
        affine = np.asarray(header.get_qform(), np.float64)
    except (HeaderDataError, ValueError):
        return None
    usable = np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0
    return affine if usable else None


def _strange_size(header: Any, grid: Grid) -> list[Finding]:
    sizes = grid.spacing if given(header, "sform") else _pixdim(header) * _UNITS[unit(header)]
    if all(_SMALLEST <= size <= _LARGEST for size in sizes):
        return []
    words = f"its header says that a voxel is {_times(sizes)} mm, so nothing is measured in mm"
    return [Finding("strange size", words, ("millimetres",))]


def _oblique(affine: Affine) -> list[Finding]:
    """Voxel axes far from the anatomical ones they are read as."""
    axes = orientations.io_orientation(affine)[:, 0].astype(int)
    steps = affine[:3, :3] / _norms(affine)
    off = np.degrees(np.arccos(np.abs(steps[axes, range(3)]).clip(0, 1)))  # of each stored axis
    if off.max() <= _OBLIQUE:
        return []
    sliced = "ijk"[int(np.flatnonzero(axes == 2)[0])]
    across = off[axes == 0].max() > _OBLIQUE
    return [
        Finding(
            "oblique",
            f"its voxels stand {off.max():.0f}° oblique to the patient: what is taken for axial "
            f"slices follows the stored axis {sliced}" + (", and no side is named" * bool(across)),
            ("sides",) if across else (),
        )
    ]


def _sheared(affine: Affine) -> list[Finding]:
    """Voxel axes that do not stand at right angles, as distances between maps are measured."""
    steps = affine[:3, :3] / _norms(affine)
    # Of a way through the voxels, its length in mm over what orthogonal axes would make of it.
    ratios = np.sqrt(np.linalg.eigvalsh(steps.T @ steps).clip(0))
    off = max(abs(1 / ratio - 1) if ratio else np.inf for ratio in ratios)
    if off <= _STRETCHED:
        return []
    return [
        Finding(
            "sheared",
            "the axes of its voxels do not stand at right angles: volumes, HD95 and surface Dice "
            f"are right, but centre_distance_mm of maps is wrong by up to {off:.0%}; resample it "
            "to an orthogonal grid",
        )
    ]


def _norms(affine: Affine) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.sqrt(np.square(affine[:3, :3]).sum(0))
    return norms


def _towards(affine: Affine) -> str:
    return "".join(code or "?" for code in orientations.aff2axcodes(affine))


def _times(sizes: Any) -> str:
    return " x ".join(f"{float(size):.4g}" for size in sizes)
