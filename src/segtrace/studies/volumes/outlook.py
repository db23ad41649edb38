"""What explaining a whole volume will take: disk, and time; said before the work."""

import shutil
import zlib
from pathlib import Path
from time import perf_counter

import numpy as np

from segtrace.data.cache.needs import in_words
from segtrace.data.files.geometry import Geometry
from segtrace.errors import InputError
from segtrace.progress import say
from segtrace.report.volumes.nifti import in_steps
from segtrace.studies.volumes.nifti import QUICK
from segtrace.tracking.explained import Explained


def announce(
    folder: Path, sample: Explained, geometry: Geometry, depth: int, seconds: float
) -> None:
    """Say how much is coming and how long it takes, as far as a sample tells.

    Args:
        folder: for the files.
        sample: slices spread over the volume, explained.
        geometry: the way back to the image's grid.
        depth: slices of the volume.
        seconds: that explaining the sample took.

    Raises:
        InputError: the disk may not have room for it.
    """
    flow = sample.record.flow
    kinds = len(flow.stages) * len(flow.rules) * len(flow.organs)
    began, packed, native = perf_counter(), 0, 0
    for maps in flow.maps.values():
        native += maps[:, :, 0].numel()
        for one in maps[0].float().numpy():  # (O, n, h, w): the first rule stands for all
            positive = np.maximum(np.nan_to_num(one), 0)
            whole = geometry.to_source(positive / (positive.max() or 1))
            packed += len(zlib.compress(in_steps(whole).tobytes(), QUICK))
    writing = (perf_counter() - began) * len(flow.rules)
    share = depth / len(sample.record.scene.cases)
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    say(
        f"{depth} slices, {kinds} maps ({len(flow.stages)} stages x {len(flow.organs)} organs x "
        f"{len(flow.rules)} rules): about {_in_words(share * (seconds + writing))} and "
        f"{_size(packed * len(flow.rules) * share)} in {folder}"
    )
    most = kinds * int(np.prod(geometry.grid.shape)) * 2 + native * depth * 4
    if most > free:
        raise InputError(
            f"{folder}: {in_words(free)} free, {in_words(most)} needed for {kinds} maps; name "
            "fewer with stages=[…] organs=[…] rules=[…]"
        )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _size(bytes_: float) -> str:
    return f"{bytes_ / 2**20:.0f} MiB" if bytes_ < 2**30 else f"{bytes_ / 2**30:.1f} GiB"
