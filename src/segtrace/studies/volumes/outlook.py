"""What explaining a whole volume will take: disk, and time; said before the work."""

import shutil
import zlib
from pathlib import Path
from time import perf_counter

import numpy as np

from segtrace.data.files.geometry import Geometry
from segtrace.errors import InputError
from segtrace.studies.volumes.nifti import QUICK, in_steps
from segtrace.tracking.explained import Explained
from segtrace.tracking.progress import say


def announce(folder: Path, like: Explained, geometry: Geometry, seconds: float) -> None:
    """Say how much is coming and how long it takes, as far as one slice tells.

    Args:
        folder: for the files.
        like: one slice from the volume's middle, explained.
        geometry: the way back to the image's grid.
        seconds: that explaining it took.

    Raises:
        InputError: the disk may not have room for it.
    """
    flow = like.record.flow
    depth = int(np.prod(geometry.grid.shape) // np.prod(geometry.grid.rows_columns))
    kinds = len(flow.stages) * len(flow.rules) * len(flow.organs)
    native = sum(maps[..., 0, 0].numel() * maps.shape[-1] * maps.shape[-2]
                 for maps in flow.maps.values())  # fmt: skip
    most = kinds * int(np.prod(geometry.grid.shape)) * 2 + native * depth * 4
    began, packed = perf_counter(), 0
    for maps in flow.maps.values():
        for one in maps[0].float().numpy():  # (O, 1, h, w): the first rule stands for all
            shares = np.maximum(np.nan_to_num(one), 0) / (np.nan_to_num(one).max() or 1)
            packed += len(zlib.compress(in_steps(geometry.to_source(shares)).tobytes(), QUICK))
    writing = (perf_counter() - began) * len(flow.rules)
    free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
    say(
        f"{depth} slices, {kinds} maps ({len(flow.stages)} stages x {len(flow.organs)} organs x "
        f"{len(flow.rules)} rules): about {_in_words(depth * (seconds + writing))} and "
        f"{_size(packed * len(flow.rules) * depth)} in {folder}"
    )
    if most > free:
        raise InputError(
            f"{folder}: {free / 2**30:.1f} GiB free, {most / 2**30:.1f} GiB needed for {kinds} "
            "maps; name fewer with stages=[…] organs=[…] rules=[…]"
        )


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _size(bytes_: float) -> str:
    return f"{bytes_ / 2**20:.0f} MiB" if bytes_ < 2**30 else f"{bytes_ / 2**30:.1f} GiB"
