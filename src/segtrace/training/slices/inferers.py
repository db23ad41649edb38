"""Images larger than a network takes, gone through as MONAI's sliding window does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import TYPE_CHECKING, Any

from torch import Tensor

from segtrace.attribution.sliding.windows import Predict, Windows
from segtrace.axes import sized
from segtrace.data.volumes.windows import starts
from segtrace.errors import InputError, wrong

if TYPE_CHECKING:
    from monai.inferers import SlidingWindowInferer

OVERLAP = 0.5
"""Of windows that are asked for by their size alone, as nnU-Net has it; blended as a Gaussian."""


@dataclass(frozen=True)
class SlidingWindow:
    """MONAI's inferer as :func:`~segtrace.attribution.sliding.traced.trace_windows` takes it.

    Attributes:
        inferer: says size, overlap, blending and padding.
    """

    inferer: "SlidingWindowInferer"

    @classmethod
    def of(cls, inferer: Any = None, window: Any = None) -> "SlidingWindow | None":
        """As it was asked for; ``None`` where nothing was.

        Args:
            inferer: an object of MONAI.
            window: voxels along each axis, (96, 96, 96), or one number for all.

        Raises:
            InputError: both, another inferer, a window that is none.
        """
        if inferer is None and window is None:
            return None
        from monai.inferers import SliceInferer, SlidingWindowInferer

        if inferer is None:
            a_window("window", window)
            return cls(SlidingWindowInferer(window, overlap=OVERLAP, mode="gaussian"))
        if window is not None:
            raise InputError("inferer=… has a window of its own; leave window out")
        if not isinstance(inferer, SlidingWindowInferer) or isinstance(inferer, SliceInferer):
            raise wrong("inferer", inferer, "a SlidingWindowInferer of monai.inferers")
        if inferer.with_coord:
            raise InputError(
                "inferer has with_coord=True, and a network that is told where a window lies is "
                "not explained window by window; give one without"
            )
        return cls(inferer)

    def windows(self, image: Sequence[int]) -> Windows:
        """Those that the inferer sends through a network, with the weights it blends them by.

        Raises:
            InputError: a window of another number of axes than the image.
        """
        from monai.data.utils import compute_importance_map
        from monai.utils import ensure_tuple_rep, fall_back_tuple

        own, axes = self.inferer, len(image)
        given = own.roi_size
        if isinstance(given, Sequence) and len(given) != axes:
            raise InputError(
                f"a window of {sized(given)} voxels is for images of {len(given)} "
                f"axes; these have {axes}"
            )
        size = tuple(map(int, fall_back_tuple(given, image)))
        padded = [max(one) for one in zip(image, size, strict=True)]
        along = []
        overlaps = ensure_tuple_rep(own.overlap, axes)
        for voxels, whole, side, overlap in zip(image, padded, size, overlaps, strict=True):
            before = (whole - voxels) // 2
            along.append([start - before for start in starts(whole, side, overlap)])
        weights = own.roi_weight_map
        if weights is None or tuple(weights.shape) != size:
            weights = compute_importance_map(size, mode=own.mode, sigma_scale=own.sigma_scale)
        mode = str(getattr(own.padding_mode, "value", own.padding_mode))
        return Windows(
            tuple(image), tuple(product(*along)), weights.float().cpu(), mode, float(own.cval)
        )

    def logits(self, x: Tensor, predict: Predict) -> Tensor:
        """What the inferer makes of a network, to the bit."""
        found: Any = self.inferer(x, predict)
        return found  # of one tensor a window it gives one


def a_window(name: str, value: Any) -> None:
    """Voxels along each axis, or one number for all."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for one in several or [None]:
        if isinstance(one, bool) or not isinstance(one, Integral) or one < 1:
            raise wrong(name, value, "voxels along each axis, e.g. (96, 96, 96), or one number")
