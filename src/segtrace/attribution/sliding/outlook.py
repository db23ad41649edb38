"""What explaining images window by window will take: memory, said and held against what is free."""

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor, nn

from segtrace.attribution.sliding.stitching import cells_of
from segtrace.attribution.sliding.windows import Windows
from segtrace.errors import InputError
from segtrace.memory import bytes_of_pass, free_bytes
from segtrace.progress import counted, say


def announce_pass(net: nn.Module, windows: Windows, x: Tensor) -> None:
    """Say how many windows there are, and what a pass of one needs; before any is sent through.

    Raises:
        InputError: more than is free.
    """
    needed = bytes_of_pass(net, (1, x.shape[1], *windows.size), x.dtype, x.device)
    free = free_bytes(x.device)
    size = " x ".join(map(str, windows.size))
    count = counted(len(x) * len(windows.starts), "window")
    if needed is None or free is None:
        say(f"{count} of {size}")
        return
    say(f"{count} of {size}: about {gib(needed)} for the passes of one, {gib(free)} are free")
    if needed > free:
        smaller = [max(16, side * 2 // 3 // 16 * 16) for side in windows.size]
        raise InputError(
            f"a window of {size} needs {gib(needed)}, and {gib(free)} are free: take a smaller "
            f"one, e.g. {' x '.join(map(str, smaller))}"
        )


def announce_maps(
    windows: Windows, cells: Mapping[str, Iterable[int]], maps: int, dtype: torch.dtype
) -> None:
    """Hold the stitched maps against what is free in main memory.

    Args:
        windows: on the image.
        cells: site -> those of a window's map.
        maps: of each site: rules x organs x images.
        dtype: of the maps.

    Raises:
        InputError: more than is free.
    """
    grids = [prod(cells_of(*one) for one in zip(windows.image, windows.size, own, strict=True))
             for own in cells.values()]  # fmt: skip
    needed = (maps + 1) * sum(grids) * dtype.itemsize
    free = free_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise InputError(
            f"the maps of {len(grids)} stages need {gib(needed)}, and {gib(free)} are free: name "
            "fewer stages, organs or rules"
        )


def gib(count: float) -> str:
    """Bytes in words.

    >>> gib(3 * 2**29), gib(2**20)
    ('1.5 GiB', '1 MiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
