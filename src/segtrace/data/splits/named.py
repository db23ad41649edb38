"""Splits by name, and folds of the cases that are not for the test."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from segtrace.data.cases import TEST12, TRAIN18, Split, remedy, without
from segtrace.data.sources import CaseSource
from segtrace.errors import InputError

VAL6 = ("0035", "0036", "0037", "0038", "0039", "0040")
"""Validation cases of the other split that is called BTCV, e.g. by Swin UNETR."""

FOLDS = 5
"""Parts that are proposed."""


def published(source: CaseSource) -> Split:
    """The split that comes with the data, which holds validation cases.

    Raises:
        InputError: it has none, or cases of it are missing; the cases found are proposed, and first
            a fold where none is known to be for the test.
    """
    cases = source.cases()
    if source.split() is None and not source.held_out() and len(cases) > 1:
        raise InputError(
            f"these cases come without a split; say data.fold=1/{min(FOLDS, len(cases))}, so that "
            f"one part of them validates, or name each; {remedy(cases)}"
        )
    return _of_source(source)


def _of_source(source: CaseSource) -> Split:
    split = source.split()
    if split is None:
        cases, kept = source.cases(), source.held_out()
        raise InputError(f"these cases have no published split; {remedy(cases, kept)}")
    return split


def protocol(source: CaseSource) -> Split:
    """The published split as its protocol has it: trained on all 18, validated on none."""
    split = _of_source(source)
    return {"train": tuple(sorted(split["train"] + split["val"])), "val": (), "test": split["test"]}


def btcv24(source: CaseSource) -> Split:
    """24 to train on and 6 to validate, of the 30; other tables than those of 18/12.

    Raises:
        InputError: one of the published cases is missing.
    """
    cases = source.cases()
    missing = without(tuple(sorted(TRAIN18 + TEST12)), cases)
    if missing:
        raise InputError(
            f"data.split=btcv24 is of the 30 cases of Synapse, of which {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing; add them, or take another split; "
            f"{remedy(cases, source.held_out())}"
        )
    return {"train": without(tuple(sorted(TRAIN18 + TEST12)), VAL6), "val": VAL6, "test": ()}


NAMED: dict[str, Callable[[CaseSource], Split]] = {
    "published": published,
    "protocol": protocol,
    "btcv24": btcv24,
}
"""Name of a split -> what makes it of the cases of a source."""


def fold_numbers(given: object) -> tuple[int, int]:
    """``k`` and ``n`` of ``"k/n"``.

    Raises:
        InputError: it is no such fraction.
    """
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", str(given))
    k, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= k <= n or n < 2:
        raise InputError(f"data.fold={given}; give k/n with k from 1 to n, e.g. data.fold=1/5")
    return k, n


def fold(given: object, pool: Sequence[str], test: Sequence[str], seed: int) -> Split:
    """Part ``k`` of ``n`` validates, the others are trained on; a function of the seed.

    Args:
        given: ``"k/n"``, k from 1 to n.
        pool: the cases that may be trained on.
        test: those that may not.
        seed: of the parts.

    Raises:
        InputError: it is no such fraction, or there are fewer cases than parts.

    >>> fold("2/2", ("a", "b", "c"), ("t",), seed=0)
    {'train': ('a', 'c'), 'val': ('b',), 'test': ('t',)}
    """
    k, n = fold_numbers(given)
    if n > len(pool):
        raise InputError(
            f"data.fold={given}, but there are {len(pool)} cases to train on ({', '.join(pool)}); "
            f"give {len(pool)} parts at most"
        )
    order = np.random.default_rng(seed).permutation(len(pool))
    chosen = {int(row) for row in np.array_split(order, n)[k - 1]}
    val = tuple(case for row, case in enumerate(pool) if row in chosen)
    return {"train": without(pool, val), "val": val, "test": tuple(test)}
