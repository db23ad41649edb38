"""What explaining images window by window will take: memory, said and held against what is free."""

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor, nn

from segtrace import room
from segtrace.attribution.sliding.stitching import cells_of
from segtrace.attribution.sliding.windows import Windows
from segtrace.axes import sized
from segtrace.memory import bytes_of_pass, free_bytes
from segtrace.progress import counted, say


def announce_pass(net: nn.Module, windows: Windows, x: Tensor) -> None:
    """Say how many windows there are, and what a pass of one needs; before any is sent through.

    Raises:
        InputError: more than is free.
    """
    needed = bytes_of_pass(net, (1, x.shape[1], *windows.size), x.dtype, x.device)
    free = free_bytes(x.device)
    size = sized(windows.size)
    said = f"{counted(len(x) * len(windows.starts), 'window')} of {size}"
    if needed is not None and free is not None:
        one, there = room.in_words(needed), room.in_words(free)
        said += f": about {one} for the passes of one, {there} are free"
    say(said)
    smaller = [max(16, side * 2 // 3 // 16 * 16) for side in windows.size]
    remedy = f"take a smaller one, e.g. {sized(smaller)}"
    room.check(needed, free, f"a window of {size} takes about", remedy)


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
    room.check(
        needed,
        free_bytes(torch.device("cpu")),
        f"the maps of {len(grids)} stages take",
        "name fewer stages, organs or rules",
    )
