"""How far cutting has come: a bar with the estimate before the start, gone when done."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from segtrace.causal.batches import OnProgress, Progress


@contextmanager
def telling(shown: bool = True) -> Iterator[OnProgress]:
    """What to hand to cuts as their ``progress``; one bar after the other.

    Args:
        shown: no bar otherwise; nor where nobody looks, in a file or a pipe.
    """
    bars: list[tqdm] = []

    def tell(progress: Progress) -> None:
        if progress.done == 0:
            words = "Cutting stages and edges" if not bars else "Integrating along the route"
            bars.append(
                tqdm(
                    total=progress.total,
                    desc=f"{words}, about {progress.left:.0f} s",
                    leave=False,
                    disable=None if shown else True,
                )
            )
        else:
            bars[-1].update(progress.done - bars[-1].n)

    try:
        yield tell
    finally:
        for bar in bars:
            bar.close()
