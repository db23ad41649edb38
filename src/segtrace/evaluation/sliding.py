"""Whole volumes through a network that takes patches: a window slides over them."""

from monai.inferers import SlidingWindowInferer

from segtrace.data.volumes.preprocessing import AnyPreprocessing, VolumePreprocessing

MODE = "gaussian"
"""How patches are weighed where they overlap: by how near a voxel is to their middle."""


def inferer_of(
    preprocessing: AnyPreprocessing,
) -> SlidingWindowInferer | None:
    """What sends volumes (N, C, z, y, x) through a network, patch by patch; ``None`` for slices.

    What is smaller than a patch is padded, centred, as it was in training, and cut out again.
    """
    if not isinstance(preprocessing, VolumePreprocessing):
        return None
    return SlidingWindowInferer(
        roi_size=preprocessing.roi, sw_batch_size=1, overlap=preprocessing.overlap, mode=MODE
    )
