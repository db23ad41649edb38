"""How large the numbers may be that describe data: what lies beyond fails late, or never ends."""

from segtrace.errors import InputError

SIDE = 4096
"""Most rows and columns of a slice."""
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


def check_range(name: str, value: int | None, least: int, most: int) -> None:
    """Refuse a number outside a range; ``None`` stands for no number.

    Raises:
        InputError: it is.
    """
    if value is not None and not least <= value <= most:
        raise InputError(f"{name}={value}; give {least} or more, and {most} at most")
