"""The hierarchy of the classes that a network's head induces, and decisions along it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtrace.attribution.forward import weights_of
from segtrace.attribution.targets import Target


@dataclass(frozen=True)
class Decision:
    """An inner node: which of two groups of classes.

    Attributes:
        number: from 1, the root; a node has a smaller one than those below it.
        left: channels of the one group, in order.
        right: of the other.
        height: Ward's distance between the two groups of rows.
    """

    number: int
    left: tuple[int, ...]
    right: tuple[int, ...]
    height: float

    @property
    def below(self) -> tuple[int, ...]:
        """The channels of both."""
        return tuple(sorted(self.left + self.right))

    def sides(self, channel: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The group that holds a channel, and the other one."""
        return (self.left, self.right) if channel in self.left else (self.right, self.left)

    def logits(self, logits: Tensor) -> Tensor:
        """(N, 2, *image) of left and right: the mean of the logits (N, C, *image) of a group.

        As the mean of the group's rows would give it.
        """
        groups = (list(self.left), list(self.right))
        return torch.stack([logits[:, group].mean(1) for group in groups], 1)


@dataclass(frozen=True)
class Tree:
    """All decisions, the root first.

    Attributes:
        decisions: one less than there are classes.
    """

    decisions: tuple[Decision, ...]

    @classmethod
    def of(cls, rows: Tensor) -> "Tree":
        """By Ward's clustering of rows (C, K), each divided by its length, as in the program.

        Args:
            rows: weights of the head, one a channel of the logits; two or more.
        """
        from scipy.cluster.hierarchy import linkage

        whole = rows.detach().double().cpu()
        length = whole.norm(dim=1, keepdim=True)
        groups: list[tuple[int, ...]] = [(c,) for c in range(len(whole))]
        merged = []
        merges = linkage((whole / torch.where(length > 0, length, 1.0)).numpy(), "ward").tolist()
        for one, other, height, _count in merges:
            left, right = sorted((groups[int(one)], groups[int(other)]))
            groups.append(tuple(sorted(left + right)))
            merged.append((left, right, height))
        return cls(tuple(Decision(n, *one) for n, one in enumerate(reversed(merged), 1)))

    @property
    def leaves(self) -> tuple[int, ...]:
        """The channels in an order in which every group stands together."""
        order = self.decisions[0].left + self.decisions[0].right
        for decision in self.decisions[1:]:
            at = min(map(order.index, decision.below))
            rest = order[at + len(decision.below) :]
            order = order[:at] + decision.left + decision.right + rest
        return order

    def path(self, channel: int) -> tuple[Decision, ...]:
        """The decisions that lead to a channel, the root first."""
        return tuple(one for one in self.decisions if channel in one.below)

    def logprob(self, logits: Tensor) -> Tensor:
        """(N, C, *image) logarithm of every class's probability by soft inference.

        p(class) = Π over its path of the softmax of the node's two logits.

        Args:
            logits: (N, C, *image) of the network.
        """
        found = torch.zeros_like(logits)
        for decision in self.decisions:
            both = decision.logits(logits).log_softmax(1)
            for side, group in enumerate((decision.left, decision.right)):
                found[:, list(group)] += both[:, side : side + 1]
        return found


@dataclass(frozen=True)
class DecisionTarget:
    """What decides at a node, summed over the region of another target.

    Where the inner target weighs a channel, the logit of the group that holds it is weighed by as
    much; with ``against`` the logit of the other group counts as its negative. Of all that is
    predicted (region ``all_pred``) so does every pixel for its own class. Channels that are not
    below the node have no say.

    Attributes:
        inner: an organ's target.
        decision: the node.
        against: the group's logit less the other's; else the group's alone, as in the program.
    """

    inner: Target
    decision: Decision
    against: bool = False

    @property
    def activation(self) -> str | None:
        """Of the inner target, where it says one."""
        return getattr(self.inner, "activation", None)

    def __call__(self, logits: Tensor) -> Tensor:
        """The weights (N, C, *image)."""
        found = torch.zeros_like(logits)
        planes = weights_of("the decision", self.inner, logits, self.activation).planes
        for channel, plane in planes.items():
            if channel not in self.decision.below:
                continue
            own, other = self.decision.sides(channel)
            found[:, list(own)] += plane[:, None] / len(own)
            if self.against:
                found[:, list(other)] -= plane[:, None] / len(other)
        return found


MOST_NAMED = 4
"""Classes of a group that are named; of larger ones the figure shows which."""


def group_words(names: Sequence[str]) -> str:
    """A group as people say it.

    >>> group_words(["liver", "spleen", "stomach"])
    'liver, spleen or stomach'
    >>> group_words(["a", "b", "c", "d", "e"])
    'a, b, c or 2 more'
    """
    if len(names) > MOST_NAMED:
        kept = MOST_NAMED - 1
        return f"{', '.join(names[:kept])} or {len(names) - kept} more"
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
