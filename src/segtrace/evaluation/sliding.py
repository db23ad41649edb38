"""How a network goes through images that are larger than what it takes at once."""

from typing import TYPE_CHECKING

from segtrace.data.preprocessing import Preprocessing
from segtrace.data.volumes.preprocessing import VolumePreprocessing

if TYPE_CHECKING:
    from monai.inferers import SlidingWindowInferer


def inferer_of(
    preprocessing: Preprocessing | VolumePreprocessing,
) -> "SlidingWindowInferer | None":
    """MONAI's sliding window of the patch a network was trained on; ``None`` for slices."""
    if isinstance(preprocessing, Preprocessing):
        return None
    from monai.inferers import SlidingWindowInferer

    return SlidingWindowInferer(preprocessing.patch[::-1], 1, preprocessing.overlap, "gaussian")
