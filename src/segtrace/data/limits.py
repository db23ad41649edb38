"""How large the numbers may be that describe data: what lies beyond fails late, or never ends."""

from segtrace.errors import InputError

SIDE = 4096
"""Most rows and columns of a slice."""
SMALLEST, LARGEST = 0.05, 100.0
"""mm of a voxel."""
MOST_VOXELS = 2**27
"""Of a patch."""
PHANTOM_SIDE = (8, 1024)
"""Least and most voxels of a phantom along an axis: its generator refuses fewer."""
FARTHEST = 1e6
"""HU of a window, on either side of 0; CT has -1024 to some 30000, and float32 numbers to spare."""
LARGEST_SEED = 2**32 - 1
"""NumPy's generators, which Lightning seeds, take no more."""
RANGES = {
    "batch_size": (1, 2**16),
    "steps_per_epoch": (1, 10**6),
    "num_workers": (0, 256),
    "seed": (0, LARGEST_SEED),
}
"""Option of a data set -> least and most."""

IN_WORDS = {
    "organs": "synapse8, btcv13, all, or names, [liver,spleen]",
    "size": f"1 to {SIDE} pixels",
    "window": "[low, high] in HU, low < high, or percentile or zscore; or a list of these, one for "
    "each channel",
    "split": "the name of a split or of a file, or the cases of each part, {train: […], val: […]}",
    "fold": "k/n with k from 1 to n, e.g. data.fold=1/5; or the number of a fold in a file",
    "patch": "three whole numbers of voxels, left-right, front-back and feet-head, of together "
    f"{MOST_VOXELS} at most, e.g. [96,96,96]",
    "spacing": "three sizes in mm, left-right, front-back and feet-head, each "
    f"{SMALLEST} to {LARGEST:g}, e.g. [1.5,1.5,2]",
    "phantom_shape": "three whole numbers of voxels, left-right, front-back and feet-head, each "
    f"{PHANTOM_SIDE[0]} to {PHANTOM_SIDE[1]}, e.g. [160,160,48]",
}
"""Option of a data set -> what it may be, as whoever refuses it says."""


def check_range(name: str, value: int | None, least: int, most: int) -> None:
    """Refuse a number outside a range; ``None`` stands for no number.

    Raises:
        InputError: it is.
    """
    if value is not None and not least <= value <= most:
        raise InputError(f"{name}={value}; give {least} or more, and {most} at most")
