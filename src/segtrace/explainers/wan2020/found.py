"""What SegNBDT finds of a network, before it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from segtrace.explainers.explainer import Explainer
from segtrace.explainers.wan2020.head import Head
from segtrace.explainers.wan2020.hierarchy import Tree
from segtrace.explainers.wan2020.inference import Inference
from segtrace.explainers.wan2020.removal import Removed
from segtrace.report.captions import marks
from segtrace.tracking.explained import Explained


class Chance(NamedTuple):
    """Of every slice the mean probability of a group in a region; NaN where that is empty.

    Attributes:
        tree: the softmax of the node's two logits.
        network: its own probability of the group, of what both groups have.
    """

    tree: list[float]
    network: list[float]


@dataclass(frozen=True)
class Hierarchy:
    """The tree, and how sure tree and network are at its decisions.

    Attributes:
        tree: the decisions.
        head: whose rows they are made from.
        names: channel -> class, of all.
        channels: organ -> channel, of those that are explained.
        chances: organ -> number of a decision on its path -> the chance of its group.
    """

    tree: Tree
    head: Head
    names: Mapping[int, str]
    channels: Mapping[str, int]
    chances: Mapping[str, Mapping[int, Chance]]

    def rows(self) -> list[dict[str, Any]]:
        """A row a decision."""
        return [
            {
                "decision": one.number,
                "left": ", ".join(self.names[c] for c in one.left),
                "right": ", ".join(self.names[c] for c in one.right),
                "height": one.height,
            }
            for one in self.tree.decisions
        ]


@dataclass(frozen=True)
class Done:
    """How far the work came.

    Attributes:
        organs: whose decisions have maps.
        left_out: those for which the time did not suffice.
        passes: forward and backward, of one slice.
        seconds: that it took.
    """

    organs: tuple[str, ...]
    left_out: tuple[str, ...]
    passes: int
    seconds: float


@dataclass(frozen=True)
class Options:
    """What was asked for, as far as it is told.

    Attributes:
        against: maps of a group's logit less the other group's.
        baseline: what stands in the place of an erased organ.
    """

    against: bool
    baseline: float | str


@dataclass(frozen=True)
class Found:
    """The tree of a network, its inference, maps of its decisions, and what erased organs cost.

    Attributes:
        by: the explainer.
        options: of it.
        explained: the maps, each decision on the path to an organ in the place of an organ.
        hierarchy: the tree.
        inference: of tree and network.
        erased: what erasing organs leaves.
        done: how far the work came.
        unseen: organs that the network does not see, as far as is known.
    """

    by: Explainer
    options: Options
    explained: Explained
    hierarchy: Hierarchy
    inference: Inference
    erased: Removed
    done: Done
    unseen: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the time sufficed."""
        return not self.done.left_out and self.erased.passes == self.erased.asked

    @property
    def marks(self) -> list[str]:
        """What its pictures must say."""
        return marks(self.explained.record) + ["partial"] * (not self.whole)
