"""The figures of SegNBDT with their captions: the tree of every organ, and erased organs."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from segtrace.explainers.wan2020.claims import lost_by_case
from segtrace.explainers.wan2020.figures import removal_figure, tree_figure
from segtrace.explainers.wan2020.found import Found
from segtrace.explainers.wan2020.maps import decision_name
from segtrace.explainers.wan2020.words import READING
from segtrace.measures.over_cases import by_case
from segtrace.names import file_name
from segtrace.report.captions import plain, titled
from segtrace.report.pictures.mosaic import choose_rows
from segtrace.report.pictures.strip import two
from segtrace.report.references import PAPER, in_words
from segtrace.report.scene import REGIONS, RESEARCH_USE


class Drawn(NamedTuple):
    """A figure.

    Attributes:
        figure: itself.
        shown: what it shows, in a sentence.
        caption: all that a reader must know, beginning with that.
    """

    figure: Figure
    shown: str
    caption: str


Figures = dict[str, Drawn]
"""By the names of their files."""


def figures(found: Found) -> Figures:
    """What erased organs cost, the tree of every organ, and what they cost its decisions."""
    organs = found.done.organs
    trees = {
        f"tree_{file_name(organ, organs)}": _drawn(
            _tree(found, organ, n), *_tree_words(found, organ, n)
        )
        for organ in organs
        for n in _shown(found, organ)
    }
    dice, decisions = _removals(found)
    return {"sir": dice, **trees, "sir_decisions": decisions}


def _drawn(figure: Figure, shown: str, *more: str) -> Drawn:
    return Drawn(figure, shown, " ".join([shown, *more]))


def _shown(found: Found, organ: str) -> list[int]:
    """The slice that holds most of an organ, if one holds any of its region."""
    record = found.explained.record
    first = decision_name(organ, found.hierarchy.tree.decisions[0])
    there = first in record.organs_here
    return choose_rows(record.flow, record.scene, first, 1) if there else []


def _tree(found: Found, organ: str, n: int) -> Figure:
    own = found.hierarchy
    chances = {decision: (chance.tree[n], chance.network[n])
               for decision, chance in own.chances[organ].items()}  # fmt: skip
    record, channel = found.explained.record, own.channels[organ]
    return tree_figure(record, own.tree, own.names, channel, chances, n, found.marks)


def _tree_words(found: Found, organ: str, n: int) -> list[str]:
    record = found.explained.record
    logit = "the mean logit of the group that holds the organ"
    if found.options.against:
        logit += ", less that of the other group"
    return [
        f"{titled(organ)}: the tree of all classes with the path to it, and the maps of every "
        f"decision on the path, on {record.scene.name(n)}.",
        f"Method: {found.by.equation}.",
        f"Maps: of {logit}, summed over the region, {REGIONS.get(record.region, record.region)}.",
        "Beside a decision: the mean probability of the group there, by the tree and, of what both "
        "groups have, by the network itself.",
        f"Height of a node: Ward's distance. {READING}.",
        *_last(found),
    ]


def _removals(found: Found) -> list[Drawn]:
    """Dice, and accuracy of decisions, that is lost where an organ is erased."""
    erased, cases = found.erased, found.explained.record.scene.cases
    each = lost_by_case(erased, cases).nanmean(-1)  # (O, W, M)
    lost, controls = each[:, 0].T.numpy(), each[:, 1:].amax(1).T.numpy()
    whole = by_case(erased.whole, cases).nanmean(-1).tolist()
    own = np.array([[organ == one for one in erased.organs] for organ, _ in erased.measured])
    split = len(erased.organs)
    kinds = (
        ("Dice", slice(None, split), "its Dice as it is"),
        ("Accuracy of decisions", slice(split, None),
         "the number of a decision on its path, and its accuracy as it is"),
    )  # fmt: skip
    drawn = []
    for what, at, beside in kinds:
        rows = [
            " · ".join([plain(organ), *[str(number)] * bool(number), _number(value)])
            for (organ, number), value in zip(erased.measured[at], whole[at], strict=True)
        ]
        words = (
            f"Down: an organ with {beside}; across: what is erased. Mean over cases; in brackets "
            "what the costlier control takes. Grey: an organ erased itself, which is no "
            "finding. –: one of the two is on none of the slices."
        )
        title = f"{what} lost when an organ is erased"
        matrix = lost[at], controls[at], rows, erased.organs, own[at]
        figure = removal_figure(*matrix, title, words, found.marks)
        drawn.append(_drawn(figure, *_removal_words(found, title)))
    return drawn


def _number(value: float) -> str:
    return "–" if value != value else two(value)


def _removal_words(found: Found, title: str) -> list[str]:
    return [
        f"{title} (Semantic Input Removal, Wan et al. 2020): its pixels are replaced by the "
        f"baseline, {found.options.baseline}.",
        "Controls: its mask moved elsewhere in the body where no organ is, and as many pixels "
        "scattered there. Accuracy: the share of an organ's pixels at which the larger of the "
        "node's two logits is that of its group. Mean over cases, no interval here; every slice: "
        "sir.csv.",
        *_last(found),
    ]


def _last(found: Found) -> list[str]:
    return [
        *(f"Note: {mark}." for mark in found.marks),
        f"{RESEARCH_USE.capitalize()}.",
        in_words([PAPER, *found.by.papers]),
    ]
