"""From a file to the volume that a 3-D network goes through window by window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segtrace.data.files.geometry import Triple
from segtrace.data.files.nifti import Volume
from segtrace.data.preprocessing import Preprocessing, Window
from segtrace.data.volumes.geometry import Size, VolumeGeometry


@dataclass(frozen=True)
class VolumePreprocessing:
    """All that turns a file into a 3-D network's input.

    Attributes:
        window: HU that become 0 and 1.
        organs: organ name -> channel.
        spacing: mm along left-right, front-back, feet-head, to which a file is resized, linear;
            ``None`` for each file's own.
        patch: voxels of a window, in the same order.
        overlap: part of a window that the next one sees as well.
        channels: of an image.
    """

    window: Window | tuple[Window, ...]
    organs: dict[str, int]
    spacing: Triple | None
    patch: Size
    overlap: float = 0.25
    channels: int = 1

    @property
    def _of_slices(self) -> Preprocessing:
        return Preprocessing(self.window, 1, self.organs, channels=self.channels)

    @property
    def shown(self) -> tuple[float, float]:
        """What 0 and 1 stand for."""
        return self._of_slices.shown

    def hounsfield_known(self, volume: Volume) -> bool:
        """Whether a volume can be told in HU."""
        return self._of_slices.hounsfield_known(volume)

    def geometry(self, volume: Volume) -> VolumeGeometry:
        """What is done to the voxels of a file."""
        return VolumeGeometry.fit(volume.grid, self.spacing, volume.where)

    def images(self, volume: Volume) -> tuple[NDArray[np.float32], VolumeGeometry]:
        """A volume (d, h, w) in [0, 1], of several channels (d, C, h, w), and what leads back."""
        geometry = self.geometry(volume)
        return geometry.resize_images(self._of_slices.windowed(volume)), geometry
