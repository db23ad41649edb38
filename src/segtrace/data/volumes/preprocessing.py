"""From a file's volume to the network's: window, spacing, patch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segtrace.data.files.geometry import Triple
from segtrace.data.files.nifti import Volume
from segtrace.data.files.stored import grid_of
from segtrace.data.limits import IN_WORDS, LARGEST, MOST_VOXELS, SIDE, SMALLEST
from segtrace.data.preprocessing import VERSION, Preprocessing
from segtrace.data.views.windowing import Window, Windowed, in_lists, window_of
from segtrace.data.volumes.geometry import Shape, VolumeGeometry
from segtrace.errors import InputError, shown

ORIENTATION = "LPS, axes reversed: plane 0 caudal, row 0 anterior, column 0 patient right"
PADDING = "of what is smaller than a patch, centred, with the window's low end"
RESIZING = "image antialiased trilinear, label nearest, over the file's own box"
"""How volumes are resampled; in a checkpoint, in these words."""
MULTIPLE = 16
"""Of which the sides of a patch are one where whole volumes are asked for: four halvings."""


@dataclass(frozen=True)
class VolumePreprocessing(Windowed):
    """All that turns a file's volume into a network's; a checkpoint holds it as a plain dict.

    Attributes:
        window: see :class:`Windowed`.
        organs: organ name -> channel.
        spacing: mm of a voxel along left-right, front-back, feet-head; ``None`` for each file's own
            voxels.
        patch: voxels in the same order, as the network takes them; ``None`` while it is not known:
            whole volumes, see :meth:`covering`.
        overlap: of neighbouring patches where a whole volume is predicted, as a share of a patch.
        channels: of an image.
    """

    gives: ClassVar[str] = "the volumes"
    window: Window | tuple[Window, ...]
    organs: dict[str, int]
    spacing: Triple | None = None
    patch: Shape | None = None
    overlap: float = 0.5
    channels: int = 1

    def __post_init__(self) -> None:
        self.check_windows()
        if self.spacing is not None and not all(SMALLEST <= mm <= LARGEST for mm in self.spacing):
            raise InputError(f"data.spacing={list(self.spacing)}; give {IN_WORDS['spacing']}")
        if self.patch is not None and not (
            all(1 <= n <= SIDE for n in self.patch) and prod(self.patch) <= MOST_VOXELS
        ):
            raise InputError(f"data.patch={list(self.patch)}; give {IN_WORDS['patch']}")
        if not 0 <= self.overlap < 1:
            raise InputError(f"data.overlap={self.overlap}; give a share of a patch, 0 to 0.9")

    @property
    def roi(self) -> Shape:
        """A patch along z, y, x.

        Raises:
            InputError: it is not known yet.
        """
        if self.patch is None:
            raise InputError("the patch is not known; say data.patch=[96,96,96]")
        x, y, z = self.patch
        return z, y, x

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of what the network takes, without channels."""
        return self.roi

    def covering(self, shapes: Sequence[Shape]) -> Shape:
        """The patch (x, y, z) that holds each of some volumes whole.

        Args:
            shapes: of theirs, (z, y, x).
        """
        z, y, x = (-(-max(along) // MULTIPLE) * MULTIPLE for along in zip(*shapes, strict=True))
        return x, y, z

    def kept_by(self) -> dict[str, Any]:
        """What decides how a case is kept in the cache: not how it is cut into patches."""
        found = asdict(self)
        return {key: found[key] for key in ("window", "organs", "spacing", "channels")}

    def kept_shape(self, files: Sequence[Path]) -> Shape | None:
        """Of a case in the cache, by its first file's header; ``None`` where that is broken."""
        grid = grid_of(files[0])
        if grid is None or not np.isfinite(grid.spacing).all():  # told when the file is read
            return None
        return VolumeGeometry.fit(grid, self.spacing, str(files[0])).shape

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists, text and numbers alone."""
        return {
            "window": in_lists(self.window),
            "organs": dict(self.organs),
            "spacing": self.spacing and list(self.spacing),
            "patch": self.patch and list(self.patch),
            "overlap": self.overlap,
            "orientation": ORIENTATION,
            "padding": PADDING,
            "resizing": RESIZING,
            "version": VERSION,
            **({} if self.channels == 1 else {"channels": self.channels}),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "VolumePreprocessing":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: it was written by another version, or resampled in another way.
        """
        if plain["version"] != VERSION or plain["resizing"] != RESIZING:
            raise InputError(
                f"preprocessing version {plain['version']}, volumes resampled by "
                f"{shown(plain['resizing'])}; this segtrace does neither read nor do that: use the "
                "segtrace that wrote it"
            )
        return cls(
            window_of(plain["window"]), dict(plain["organs"]), triple("spacing", plain["spacing"]),
            whole_triple("patch", plain["patch"]), float(plain["overlap"]),
            int(plain.get("channels", 1)),
        )  # fmt: skip

    def geometry(self, volume: Volume) -> VolumeGeometry:
        """What is done to the voxels of a file.

        Raises:
            InputError: it does not say how large they are, and mm are asked for.
        """
        return VolumeGeometry.fit(volume.grid, self.spacing, volume.where)

    def images(self, volume: Volume) -> tuple[NDArray[np.float32], VolumeGeometry]:
        """The volume (z, y, x) float32 in [0, 1], not padded, and what leads back.

        Of several channels (z, C, y, x).

        Raises:
            InputError: see :meth:`geometry` and :meth:`~Windowed.windowed`.
        """
        geometry = self.geometry(volume)
        return geometry.resize_images(self.windowed(volume)), geometry


AnyPreprocessing: TypeAlias = Preprocessing | VolumePreprocessing
"""Of a network's own kind."""


def preprocessing_of(plain: Mapping[str, Any]) -> AnyPreprocessing:
    """That of slices or that of volumes, as a checkpoint holds it.

    Raises:
        InputError: see the ``from_plain`` of either.
    """
    kind = VolumePreprocessing if "spacing" in plain else Preprocessing
    return kind.from_plain(plain)


def slices_alone(preprocessing: AnyPreprocessing, what: str) -> Preprocessing:
    """That of a network for slices.

    Args:
        preprocessing: of the network.
        what: is of slices alone, for the message.

    Raises:
        InputError: it takes volumes.
    """
    if isinstance(preprocessing, VolumePreprocessing):
        raise InputError(
            f"{what} is of networks for slices, and this one takes volumes; explain the volumes it "
            "was watched on (leave that out), or call segtrace.explain from Python"
        )
    return preprocessing


def triple(option: str, given: object) -> Triple | None:
    """Three numbers along left-right, front-back, feet-head; ``None`` stays.

    Raises:
        InputError: something else.
    """
    if given is None:
        return None
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(several) != 3 or not all(type(one) in (int, float) for one in several):
        raise InputError(f"data.{option}={given}; give {IN_WORDS[option]}")
    x, y, z = (float(one) for one in several)
    return x, y, z


def whole_triple(option: str, given: object) -> Shape | None:
    """The same of whole numbers."""
    found = triple(option, given)
    if found is None:
        return None
    if any(not one.is_integer() for one in found):
        raise InputError(f"data.{option}={given}; give {IN_WORDS[option]}")
    x, y, z = map(int, found)
    return x, y, z
