"""What is said meanwhile: lines, and bars over long pieces of work, gone when they are done."""

from collections.abc import Iterator
from contextlib import contextmanager

from pytorch_lightning.utilities import rank_zero_only
from tqdm import tqdm

from segtrace.causal.batches import OnProgress, Progress


@rank_zero_only
def say(words: str) -> None:
    """Print a line once, however many processes train side by side."""
    print(words)


@contextmanager
def working(words: str) -> Iterator[OnProgress]:
    """A bar over a long piece of work, with the estimate made before its start.

    Args:
        words: what is done.
    """
    bar = tqdm(desc=words, unit=" slices", leave=False, disable=None)

    def tell(progress: Progress) -> None:
        if progress.done == 0:
            print(f"{words}: about {progress.left:.0f} s")
        bar.total = progress.total
        bar.update(progress.done - bar.n)

    try:
        yield tell
    finally:
        bar.close()


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
