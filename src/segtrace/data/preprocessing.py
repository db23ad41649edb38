"""From a volume to the network's input: the same for training and for a new image."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from typing_extensions import TypeIs

from segtrace.data.files.geometry import Geometry
from segtrace.data.files.nifti import Volume
from segtrace.data.labels import to_channels
from segtrace.data.limits import FARTHEST, SIDE
from segtrace.errors import InputError, shown, unknown
from segtrace.progress import counted

VERSION = 1
"""Of the preprocessing; a change of its results needs another number, so that old caches die."""

TRANSUNET_WINDOW = (-125.0, 275.0)
PERCENTILES = (0.5, 99.5)
DEVIATIONS = 3.0
NORMALISATIONS = ("percentile", "zscore")
"""Windows by name, of every case its own; see :func:`own_window`. MR has values without a unit."""
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
MOST_CHANNELS = 64
TOGETHER = 8
"""Slices that are windowed and resized at once."""
Window = tuple[float, float] | str
"""Values that become 0 and 1; or one of :data:`NORMALISATIONS`."""
"""HU of what lies outside the image."""


@dataclass(frozen=True)
class Preprocessing:
    """All that turns a volume into the network's input; a checkpoint holds it as a plain dict.

    Attributes:
        window: HU that become 0 and 1; or one of :data:`NORMALISATIONS`; or one for each channel.
        size: rows and columns.
        organs: organ name -> channel.
        resizing: ``linear``, or ``cubic`` as TransUNet's program does it; the latter overshoots.
        channels: of an image.
    """

    window: Window | tuple[Window, ...]
    size: int
    organs: dict[str, int]
    resizing: str = LINEAR
    channels: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise InputError(f"{self.channels} input channels; give 1 to {MOST_CHANNELS}")
        if len(self.windows) != self.channels:
            raise InputError(
                f"data.window={in_lists(self.window)}: {len(self.windows)} windows for "
                f"{counted(self.channels, 'input channel')}; give one for all, or one for each"
            )
        for window in self.windows:
            if not isinstance(window, str):
                self._check_window(window)
            elif window not in NORMALISATIONS:
                raise unknown("window (data.window)", window, NORMALISATIONS)
        if not 1 <= self.size <= SIDE:
            raise InputError(f"data.size={self.size}; give 1 to {SIDE} pixels")
        if self.resizing not in RESIZINGS:
            raise unknown("resizing (data.resizing)", self.resizing, RESIZINGS)

    @staticmethod
    def _check_window(window: tuple[float, float]) -> None:
        if not -math.inf < window[0] < window[1] < math.inf:
            raise InputError(f"data.window={list(window)}; give [low, high] in HU, low < high")
        low, high = np.clip(window, -FARTHEST, FARTHEST)
        beyond = (low, high) != tuple(window)
        if beyond or np.float32(low) == np.float32(high):  # as the slices are
            raise InputError(
                f"data.window={list(window)}; give [low, high] in HU, within {-FARTHEST:.0f} "
                f"to {FARTHEST:.0f} and farther apart than float32 can tell, e.g. [-125,275]"
            )

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
    def shown(self) -> tuple[float, float]:
        """What 0 and 1 of a slice's first channel stand for: HU, or nothing but 0 and 1."""
        first = self.windows[0]
        return (0.0, 1.0) if isinstance(first, str) else first

    @property
    def windows(self) -> tuple[Window, ...]:
        """Of every channel."""
        return (self.window,) * self.channels if _is_one(self.window) else self.window

    def hounsfield_known(self, volume: Volume) -> bool:
        """Whether the slices of a volume can be told in HU."""
        return volume.hounsfield_known and not isinstance(self.windows[0], str)

    def images(self, volume: Volume) -> tuple[NDArray[np.float32], Geometry]:
        """Images (D, size, size) float32 in [0, 1], beyond by splines, and what leads back.

        Of several channels (D, C, size, size).

        Raises:
            InputError: the files were already windowed, and otherwise; they have other channels.
        """
        geometry = self.geometry(volume)
        parts = self._parts(volume)
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

    def windowed(self, volume: Volume) -> NDArray[np.float32]:
        """(D, H, W) in [0, 1], on the file's own slices; of several channels (D, C, H, W).

        Raises:
            InputError: the files were already windowed, and otherwise; they have other channels.
        """
        return np.concatenate([*self._parts(volume)])

    def _parts(self, volume: Volume) -> Iterator[NDArray[np.float32]]:
        """The windowed slices, few at a time: a large scan whole would be moved through memory."""
        if len(volume.channels) != self.channels:
            raise InputError(
                f"{volume.where}: {counted(len(volume.channels), 'channel')}, and "
                f"{self.channels} are needed; give the files of all"
            )
        if volume.windowed:
            if self.window != TRANSUNET_WINDOW:
                raise InputError(
                    f"data.window={self.to_plain()['window']}, but {volume.where} is already "
                    f"clipped to {list(TRANSUNET_WINDOW)}; leave data.window out"
                )
            yield volume.image
            return
        pairs = [*zip(volume.channels, self.windows, strict=True)]
        ends = [own_window(of, how) if isinstance(how, str) else how for of, how in pairs]
        for first in range(0, len(volume.image), TOGETHER):
            some = slice(first, first + TOGETHER)
            found = [_windowed(c[some], *end) for c, end in zip(volume.channels, ends, strict=True)]
            yield found[0] if self.channels == 1 else np.stack(found, axis=1)


def _windowed(slices: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    found = slices.clip(low, high)
    found -= np.float32(low)
    found /= np.float32(high - low)
    return found


def batch_of(images: NDArray[np.float32]) -> torch.Tensor:
    """(D, H, W), or (D, C, H, W) -> (D, C, H, W), as a network takes it."""
    slices = torch.from_numpy(images)
    return slices[:, None] if slices.ndim == 3 else slices


def _is_one(window: Window | tuple[Window, ...]) -> TypeIs[Window]:
    return isinstance(window, str) or not isinstance(window[0], str | tuple)


def in_lists(window: Window | tuple[Window, ...]) -> Any:
    """A window, or several, as plain values."""
    if isinstance(window, str):
        return window
    return [value if isinstance(value, int | float) else in_lists(value) for value in window]


def window_of(given: object) -> Window | tuple[Window, ...]:
    """A window as a configuration or a checkpoint gives it, or one for each channel.

    Raises:
        InputError: it is neither a name nor two numbers, nor several of these.
    """
    if isinstance(given, str):
        return given
    if isinstance(given, Sequence) and given and all(isinstance(g, str | Sequence) for g in given):
        return tuple(_single(one) for one in given)
    return _single(given)


def _single(given: object) -> Window:
    if isinstance(given, str):
        return given
    if not isinstance(given, Sequence) or len(given) != 2:
        raise InputError(
            f"data.window={given}; give [low, high] in HU, low < high, or one of "
            f"{', '.join(NORMALISATIONS)}; or a list of these, one for each channel"
        )
    return float(given[0]), float(given[1])


def own_window(image: NDArray[np.float32], name: str) -> tuple[float, float]:
    """The values of a case that become 0 and 1.

    Args:
        image: of the whole case.
        name: ``percentile``: its 0.5th and 99.5th; ``zscore``: three standard deviations to either
            side of the mean, both over the voxels above its lowest value, which is what surrounds
            the body. The network then sees (z + 3) / 6, where z is the score.

    >>> own_window(np.float32([0, 0, 1, 3]), "zscore")
    (-1.0, 5.0)
    """
    if name == "percentile":
        low, high = np.percentile(image, PERCENTILES)
    else:
        body = image[image > image.min()].astype(np.float64)
        mean, deviation = (body.mean(), body.std()) if body.size else (float(image.min()), 0.0)
        low, high = mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation
    return float(low), float(high if high > low else low + 1)


def _hounsfield(volume: Volume, index: int) -> NDArray[np.int16]:
    image = volume.image[index]
    if volume.windowed:
        low, high = TRANSUNET_WINDOW
        image = image * (high - low) + low
    limits = np.iinfo(np.int16)
    return image.round().clip(limits.min, limits.max).astype(np.int16)


def channels_of(
    volume: Volume, numbering: Mapping[str, int], preprocessing: Preprocessing
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
    return np.stack([np.bincount(one.ravel(), minlength=organs + 1)[1:] for one in labels])
