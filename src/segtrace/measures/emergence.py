"""When does a stage begin to localise an organ? Read from the curve of ``gain`` over the epochs.

It needs the end of the training: while it runs only the curve can be shown. A stage that localises
before anything is learned is an echo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segtrace.errors import InputError
from segtrace.measures import guards

Floats = NDArray[np.float64]

RISE = 0.1
"""The gain must end this much above where it began."""

HOLD = 3
"""Logged epochs for which the curve must stay up."""

ECHO = 0.5
"""From this mass on, the untrained network's map already lies in its own region."""

Answer = Literal["emerged", "none", "fell", "late"]


@dataclass(frozen=True)
class Emergence:
    """The epoch at which one stage began to localise one organ, or why there is none.

    Attributes:
        answer: ``emerged``; ``none``, it never rose; ``fell``, it rose and came down again;
            ``late``, it rose in the last logged epochs, too late to see whether it stays.
        epoch: finished passes at the emergence; None unless ``emerged``.
        dice_epoch: the same of the Dice, by the same rule; None if there is none.
        head_epoch: the same of the head's gain.
    """

    answer: Answer
    epoch: int | None = None
    dice_epoch: int | None = None
    head_epoch: int | None = None

    @property
    def lag(self) -> int | None:
        """Epochs from the half-rise of the head's gain to that of the stage's, one rule for both.

        Above 0 the stage follows the output; below 0 it localises before the output does.
        """
        if self.epoch is None or self.head_epoch is None:
            return None
        return self.epoch - self.head_epoch


def echo(mass: Any) -> Any:
    """Stages that localise before anything is learned: bool, for every number of an array.

    An element-wise map near the output lies in the region that defined the score, whatever the
    network does. There mass and gain are no evidence.

    Args:
        mass: of the network at epoch 0, over the slices.
    """
    return mass >= ECHO


def smoothed(curve: Floats) -> Floats:
    """Median of 3 neighbours, of those that are defined.

    The first value stays, so that the untrained network is not mixed with a trained one; the last
    is the median of the last three.
    """
    middle = range(1, len(curve) - 1)
    windows = [curve[:1], *(curve[i - 1 : i + 2] for i in middle)]
    if len(curve) > 1:
        windows.append(curve[-3:] if len(curve) > 2 else curve[-1:])
    return np.array([np.nanmedian(w) if np.isfinite(w).any() else np.nan for w in windows])


def rise(gain: Sequence[float]) -> float:
    """By how much the smoothed gain ends above where it began; see :func:`emergence`."""
    curve = np.array(gain, dtype=np.float64)
    curve[0] = np.nan_to_num(curve[0])
    ends = smoothed(curve)[[0, -1]]
    return float(ends[1] - ends[0])


@guards.held()
def emergence(
    epochs: Sequence[int],
    gain: Sequence[float],
    untrained_largest: float,
    dice: Sequence[float] | None = None,
    head: Sequence[float] | None = None,
) -> Emergence:
    """The first epoch at which the gain has made half of its rise, and stays there.

    With g the smoothed gain: the first epoch with g >= g₀ + (g_end - g₀) / 2 that holds for 3
    logged epochs. Defined only if g_end - g₀ >= 0.1 and g_end is above anything that the untrained
    network reached on a single slice. The Dice's and the head's are found by the same rule, so that
    they can be compared.

    Args:
        epochs: the logged epochs in order, beginning with 0, the untrained network.
        gain: one value an epoch, NaN where not defined. An untrained map without gain (dead)
            counts as uniform, 0.
        untrained_largest: the untrained network's largest gain over slices; NaN sets no bar.
        dice: validation Dice of the organ at the same epochs, NaN where not known.
        head: the gain of the head.

    Raises:
        InputError: epochs that do not begin with 0 or rise, or lists of different lengths.
    """
    _check(epochs, gain, dice)
    answer, epoch = _half_rise(epochs, gain, untrained_largest)
    _, found = ("none", None) if dice is None else _half_rise(epochs, dice)
    _, last = ("none", None) if head is None else _half_rise(epochs, head)
    return Emergence(answer, epoch, found, last)


def _half_rise(
    epochs: Sequence[int], values: Sequence[float], bar: float = np.nan
) -> tuple[Answer, int | None]:
    curve = np.array(values, dtype=np.float64)
    curve[0] = np.nan_to_num(curve[0])
    curve = smoothed(curve)
    risen = (curve - curve[0] >= RISE) & ~(curve <= bar)
    if not risen[-1]:
        return "fell" if _held(risen).any() else "none", None
    epoch = _first(epochs, _held(curve >= curve[0] + (curve[-1] - curve[0]) / 2))
    return "late" if epoch is None else "emerged", epoch


def _check(epochs: Sequence[int], gain: Sequence[float], dice: Sequence[float] | None) -> None:
    if len(epochs) != len(gain) or (dice is not None and len(dice) != len(epochs)):
        raise InputError("emergence needs one gain and one Dice for every logged epoch")
    if not epochs or epochs[0] != 0 or sorted(set(epochs)) != list(epochs):
        raise InputError(
            f"emergence needs the untrained network, epoch 0, and rising epochs; got {list(epochs)}"
        )


def _held(up: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where ``up`` holds at an epoch and the next ones, HOLD in all."""
    starts = range(len(up))
    return np.array([i + HOLD <= len(up) and bool(up[i : i + HOLD].all()) for i in starts])


def _first(epochs: Sequence[int], where: NDArray[np.bool_]) -> int | None:
    return int(epochs[int(where.argmax())]) if where.any() else None
