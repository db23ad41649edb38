"""Values of a case as a network is shown them: HU, or numbers without a unit, become 0 to 1."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeIs

from segtrace.data.files.nifti import Volume
from segtrace.data.limits import FARTHEST, IN_WORDS
from segtrace.errors import InputError, unknown
from segtrace.progress import counted

TRANSUNET_WINDOW = (-125.0, 275.0)
PERCENTILES = (0.5, 99.5)
DEVIATIONS = 3.0
NORMALISATIONS = ("percentile", "zscore")
"""Windows by name, of every case its own; see :func:`own_window`. MR has values without a unit."""
MOST_CHANNELS = 64
TOGETHER = 8
"""Slices that are windowed, and resized, at once."""
Window = tuple[float, float] | str
"""Values that become 0 and 1; or one of :data:`NORMALISATIONS`."""


class Windowed:
    """What is done to a case's values before they are resized: the same for slices and volumes.

    Attributes:
        window: HU that become 0 and 1; or one of :data:`NORMALISATIONS`; or one for each channel.
        organs: organ name -> channel.
        channels: of an image.
    """

    window: Window | tuple[Window, ...]
    organs: dict[str, int]
    channels: int

    def check_windows(self) -> None:
        """Refuse windows that are none.

        Raises:
            InputError: which, and what to give.
        """
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise InputError(f"{self.channels} input channels; give 1 to {MOST_CHANNELS}")
        if len(self.windows) != self.channels:
            raise InputError(
                f"data.window={in_lists(self.window)}: {len(self.windows)} windows for "
                f"{counted(self.channels, 'input channel')}; give one for all, or one for each"
            )
        for window in self.windows:
            if not isinstance(window, str):
                _check_window(window)
            elif window not in NORMALISATIONS:
                raise unknown("window (data.window)", window, NORMALISATIONS)

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

    def windowed(self, volume: Volume) -> NDArray[np.float32]:
        """(D, H, W) in [0, 1], on the file's own slices; of several channels (D, C, H, W).

        Raises:
            InputError: the files were already windowed, and otherwise; they have other channels.
        """
        return np.concatenate([*self.parts(volume)])

    def parts(self, volume: Volume) -> Iterator[NDArray[np.float32]]:
        """The windowed slices, few at a time: a large scan whole would be moved through memory.

        Raises:
            InputError: see :meth:`windowed`.
        """
        if len(volume.channels) != self.channels:
            raise InputError(
                f"{volume.where}: {counted(len(volume.channels), 'channel')}, and "
                f"{self.channels} are needed; give the files of all"
            )
        if volume.windowed:
            if self.window != TRANSUNET_WINDOW:
                raise InputError(
                    f"data.window={in_lists(self.window)}, but {volume.where} is already "
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


def _windowed(slices: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    found = slices.clip(low, high)
    found -= np.float32(low)
    found /= np.float32(high - low)
    return found


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
        raise InputError(f"data.window={given}; give {IN_WORDS['window']}")
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
