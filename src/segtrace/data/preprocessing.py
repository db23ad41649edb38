"""From a volume to the network's input: the same for training and for a new image."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from segtrace.data.files.geometry import Geometry
from segtrace.data.files.nifti import Volume
from segtrace.data.labels import to_channels
from segtrace.data.limits import SIDE
from segtrace.data.views.windowing import TRANSUNET_WINDOW, Window, Windowed, in_lists, window_of
from segtrace.errors import InputError, shown, unknown

VERSION = 1
"""Of the preprocessing; a change of its results needs another number, so that old caches die."""

LINEAR, CUBIC = "linear", "cubic"
RESIZINGS = {
    LINEAR: (
        "to a square in mm, centred, with the window's low end",
        "image antialiased bilinear, label nearest",
    ),
    CUBIC: ("none", "scipy.ndimage.zoom, image of order 3, label of order 0"),
}
"""How slices are made square and small, by name; in a checkpoint, in these words."""
AIR = -1024
"""HU of what lies outside the image."""


@dataclass(frozen=True)
class Preprocessing(Windowed):
    """All that turns a volume into the network's input; a checkpoint holds it as a plain dict.

    Attributes:
        window: HU that become 0 and 1; or one of :data:`NORMALISATIONS`; or one for each channel.
        size: rows and columns.
        organs: organ name -> channel.
        resizing: ``linear``, or ``cubic`` as TransUNet's program does it; the latter overshoots.
        channels: of an image.
    """

    gives: ClassVar[str] = "the slices"
    window: Window | tuple[Window, ...]
    size: int
    organs: dict[str, int]
    resizing: str = LINEAR
    channels: int = 1

    def __post_init__(self) -> None:
        self.check_windows()
        if not 1 <= self.size <= SIDE:
            raise InputError(f"data.size={self.size}; give 1 to {SIDE} pixels")
        if self.resizing not in RESIZINGS:
            raise unknown("resizing (data.resizing)", self.resizing, RESIZINGS)

    def to_plain(self) -> dict[str, Any]:
        """Dicts, lists, text and numbers alone."""
        padding, resizing = RESIZINGS[self.resizing]
        return {
            "window": in_lists(self.window),
            "size": self.size,
            "organs": dict(self.organs),
            "orientation": "LPS, slices transposed: row 0 anterior, column 0 patient right",
            "padding": padding,
            "resizing": resizing,
            "version": VERSION,
            **({} if self.channels == 1 else {"channels": self.channels}),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Preprocessing":
        """Undoes :meth:`to_plain`.

        Raises:
            InputError: it was written by another version of the preprocessing, or resized in a
                way that this one does not know.
        """
        if plain["version"] != VERSION:
            raise InputError(
                f"preprocessing version {plain['version']}; this segtrace has version {VERSION}: "
                "use the segtrace that wrote it"
            )
        names = {words: name for name, (_, words) in RESIZINGS.items()}
        resized = plain.get("resizing", RESIZINGS[LINEAR][1])
        if resized not in names:
            raise InputError(
                f"slices resized by {shown(resized)}, which this segtrace does not do: use the "
                "segtrace that wrote it"
            )
        window, size, organs = window_of(plain["window"]), int(plain["size"]), dict(plain["organs"])
        return cls(window, size, organs, names[resized], int(plain.get("channels", 1)))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of what the network takes, without channels."""
        return self.size, self.size

    def kept_by(self) -> dict[str, Any]:
        """What decides how a case is kept in the cache; as ever, where it is kept as ever."""
        found = asdict(self)
        if self.resizing == LINEAR:
            del found["resizing"]
        if self.channels == 1:
            del found["channels"]
        return found

    def images(self, volume: Volume) -> tuple[NDArray[np.float32], Geometry]:
        """Images (D, size, size) float32 in [0, 1], beyond by splines, and what leads back.

        Of several channels (D, C, size, size).

        Raises:
            InputError: the files were already windowed, and otherwise; they have other channels.
        """
        geometry = self.geometry(volume)
        parts = self.parts(volume)
        return np.concatenate([geometry.resize_images(part) for part in parts]), geometry

    def geometry(self, volume: Volume) -> Geometry:
        """What is done to the slices of a volume."""
        return Geometry.fit(volume.grid, self.size, cubic=self.resizing == CUBIC)

    def originals(
        self, volume: Volume, indices: Sequence[int]
    ) -> tuple[NDArray[np.int16], ...] | None:
        """Slices (rows, columns) in HU as the file has them, to be looked at.

        Each covers the same square as the network's image of it. Files that were already windowed
        give the HU of their window, and its ends stand for what lay beyond. None where the window
        is of every case its own: then there are no HU.
        """
        if isinstance(self.windows[0], str):
            return None
        geometry = self.geometry(volume)
        return tuple(
            geometry.pad(_hounsfield(volume, index)[None], fill=AIR)[0] for index in indices
        )


def batch_of(images: NDArray[np.float32]) -> torch.Tensor:
    """(D, H, W), or (D, C, H, W) -> (D, C, H, W), as a network takes it."""
    slices = torch.from_numpy(images)
    return slices[:, None] if slices.ndim == 3 else slices


def _hounsfield(volume: Volume, index: int) -> NDArray[np.int16]:
    image = volume.image[index]
    if volume.windowed:
        low, high = TRANSUNET_WINDOW
        image = image * (high - low) + low
    limits = np.iinfo(np.int16)
    return image.round().clip(limits.min, limits.max).astype(np.int16)


def channels_of(
    volume: Volume, numbering: Mapping[str, int], preprocessing: Windowed
) -> NDArray[np.uint8]:
    """Channels (D, H, W) of a labelled volume, on the file's own slices.

    Raises:
        InputError: a label value outside the numbering, or no label.
    """
    if volume.label is None:
        raise InputError(f"{volume.where}: no label belongs to this image")
    return to_channels(volume.label, numbering, preprocessing.organs, volume.where, volume.remedy)


def labels_of(
    volume: Volume, numbering: Mapping[str, int], preprocessing: Preprocessing, geometry: Geometry
) -> NDArray[np.uint8]:
    """Channels (D, size, size) of a labelled volume.

    Raises:
        InputError: see :func:`channels_of`.
    """
    return geometry.resize_labels(channels_of(volume, numbering, preprocessing))


def organ_areas(labels: NDArray[np.uint8], organs: int) -> NDArray[np.int64]:
    """(D, K) pixels of channels 1..K on every slice of (D, H, W)."""
    return np.stack([np.bincount(one[one != 0], minlength=organs + 1)[1:] for one in labels])
