"""What SegNBDT says of a network: how to read the tree, what was measured, what is claimed."""

import torch

from segtrace.explainers.wan2020.claims import claims, nothing_found
from segtrace.explainers.wan2020.found import Found
from segtrace.measures.over_cases import by_case
from segtrace.report.captions import plain
from segtrace.report.claims.claim import listed, number, told
from segtrace.report.page.sections import Table
from segtrace.report.references import PAPER, in_words

MOST = 5
"""Claims that are told, the costliest."""
LEAST_LOST = 0.05
"""Dice. A tree that loses more is not how the network decides."""
READING = (
    "The tree is a reading of the network's own head and no training of it: a node's logit is the "
    "mean of the logits below it, which adds nothing to them, and groups are classes whose rows "
    "point the same way, not organs that look alike"
)
OTHER = (
    "So the network does not decide as the tree does (the paper trains its networks to): read the "
    "maps as what raises the mean logit of a group, and no decision as one that this network makes."
)
CAUTION = (
    "Slices on which the two touch, or nearly do, do not count, since an erased organ leaves an "
    "edge there: what it costs is still no proof that the network recognises the one by the other."
)


def sentences(found: Found) -> list[str]:
    """A paragraph each."""
    by, head = found.by, found.hierarchy.head
    named = f" The rows are those of {head.path}, which was named; more is done behind it."
    return [
        f"{by.equation}. {in_words([PAPER, *by.papers])}",
        f"{READING}.{named * (not head.alone)}",
        kept(found),
        *_claims(found),
        *([] if found.whole else [_partial(found)]),
    ]


def kept(found: Found) -> str:
    """Whether soft inference keeps the Dice, of this network on these slices."""
    over = found.inference.over_cases
    own, tree, lost = (float(over[kind].mean.nanmean()) for kind in ("network", "tree", "lost"))
    agree = 100 * float(found.inference.agree.mean())
    truth = "" if found.explained.record.scene.truth is not None else (
        " (held against the network's own prediction, for want of a truth)")  # fmt: skip
    return (
        f"Soft inference on these slices: Dice {number(tree)} beside the network's own "
        f"{number(own)}{truth}, means over organs and cases; both say the same at {agree:.1f} % of "
        f"the pixels.{f' {_where(found)} {OTHER}' if lost > LEAST_LOST else ''}"
    )


def _where(found: Found) -> str:
    """The decision at which most of the organs' pixels are lost, beside the others."""
    erased = found.erased
    whole = by_case(erased.whole, found.explained.record.scene.cases).nanmean(-1)
    numbers = torch.tensor([decision for _, decision in erased.measured])
    mean = {one.number: float(whole[numbers == one.number].nanmean())
            for one in found.hierarchy.tree.decisions
            if whole[numbers == one.number].isfinite().any()}  # fmt: skip
    worst = min(mean, key=lambda decision: mean[decision])
    others = [value for decision, value in mean.items() if decision != worst]
    beside = f", {number(sum(others) / len(others))} at the others" if others else ""
    return (
        f"Of the organs' pixels {number(mean[worst])} go the right way at decision {worst}{beside}."
    )


def _claims(found: Found) -> list[str]:
    cases = found.explained.record.scene.cases
    passed = claims(found.erased, cases, found.unseen)
    if not passed:
        return [nothing_found(found.erased, cases)]
    passed.sort(key=lambda one: -one.numbers["least beyond"])
    more = f" {len(passed) - MOST} more hold: sir.csv." if len(passed) > MOST else ""
    return [*told(passed[:MOST]), f"{CAUTION}{more}"]


def _partial(found: Found) -> str:
    without = [*map(plain, found.done.left_out)]
    none = f"no maps of {listed(without)}; " if without else ""
    return (
        f"Partial, when the time was over: {none}{found.erased.passes} of {found.erased.asked} "
        "erased slices. Give more max_seconds, or name fewer organs."
    )


def table(found: Found) -> Table:
    """Dice of network and tree, over cases."""
    columns = {"network's Dice": "dice", "tree's Dice": "tree_dice", "lost": "lost",
               "from": "lost_low", "to": "lost_high", "cases": "cases"}  # fmt: skip
    rows = found.inference.rows_over_cases([*found.hierarchy.channels])
    return Table.of(
        "Dice of the network and of soft inference, mean over cases, and what is lost, with its "
        "95 % t interval; every slice: tree_dice.csv.",
        [{"organ": plain(row["organ"])} | {name: row[key] for name, key in columns.items()}
         for row in rows],
    )  # fmt: skip
