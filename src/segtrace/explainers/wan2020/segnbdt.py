"""SegNBDT: the tree of classes in a network's head, its inference, and what its decisions need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from segtrace.activation import SIGMOID, SOFTMAX, OrganLike, organ_of, predicted, true_mask
from segtrace.attribution.flow import Flow
from segtrace.attribution.targets import Target
from segtrace.causal.batches import SLICES, Clock
from segtrace.errors import InputError, unknown
from segtrace.explainers.baseline import check_baseline, hiding
from segtrace.explainers.explainer import Budget, checked_seconds
from segtrace.explainers.scores import Scores, on_first_slice, scoring
from segtrace.explainers.stage_maps import measured
from segtrace.explainers.wan2020.found import Chance, Done, Hierarchy, Options
from segtrace.explainers.wan2020.head import head_of
from segtrace.explainers.wan2020.hierarchy import Tree
from segtrace.explainers.wan2020.inference import Inference
from segtrace.explainers.wan2020.maps import decision_name, maps_of, stages_for, together
from segtrace.explainers.wan2020.removal import Erasure, Judged, Removed, erasures, removed
from segtrace.explainers.wan2020.result import SegNbdtResult
from segtrace.measures.places import body_of
from segtrace.network import guards
from segtrace.network.logits import logits_at
from segtrace.report.claims.recognition import unseen
from segtrace.tracking.explained import Network

COMBINED = ("product", "maximum")
BACKGROUND = "background"


@guards.fields(
    head=guards.optional(guards.a_name),
    maps_at=guards.optional(guards.names),
    against=guards.a_switch,
    combine=guards.optional(guards.a_name),
    draws=guards.a_count,
    seed=guards.from_zero,
    max_seconds=guards.optional(guards.a_number),
)
@dataclass(frozen=True)
class SegNbdt:
    """Wan et al. 2020, of a network as it is: nothing is trained.

    The rows of the last convolution, each divided by its length, are clustered (Ward), which gives
    a tree of the classes. A node's logit is the mean of the logits below it; a class's probability
    in the tree is the product, over its path, of the softmax of the two logits at each node. A
    decision is traced as an organ is, by Grad-PAM and Seg-Grad-CAM. Semantic Input Removal erases
    organs from the slices.

    Attributes:
        head: path of the convolution whose rows are taken; ``None`` to have it found.
        maps_at: stages of the maps; ``None`` for the last decoder stage and the one below it.
        against: maps of the group's logit less the other group's; else of the group's alone, which
            is what the program takes.
        combine: ``product`` or ``maximum`` adds the maps of the stages in one.
        baseline: what stands in the place of an erased organ, see
            :class:`~segtrace.explainers.petsiuk2018.Rise`.
        draws: shifted and scattered controls beside every erased organ.
        seed: of the draws.
        max_seconds: organs and slices that are not done by then are left out; ``None`` for no
            limit.

    Raises:
        InputError: options without sense.
    """

    name: ClassVar[str] = "segnbdt"
    title: ClassVar[str] = "SegNBDT"
    equation: ClassVar[str] = (
        "SegNBDT (Wan et al. 2020) without its training: Ward's clustering of the rows of the "
        "head, each of length 1; a node's logit is the mean of the logits below it, and p(class) "
        "= Π over its path of the softmax of a node's two logits"
    )
    papers: ClassVar[tuple[str, ...]] = ("wan2020",)
    of_volumes: ClassVar[bool] = False
    by_size: ClassVar[bool] = True

    head: str | None = None
    maps_at: Sequence[str] | None = None
    against: bool = False
    combine: str | None = None
    baseline: float | str = 0.0
    draws: int = 2
    seed: int = 0
    max_seconds: float | None = 600.0

    def __post_init__(self) -> None:
        if self.combine is not None and self.combine not in COMBINED:
            raise unknown("way to combine stages", self.combine, COMBINED)
        check_baseline(self.baseline)
        checked_seconds(self.max_seconds)

    def check_fit(self, network: Network) -> None:
        """See :class:`~segtrace.explainers.explainer.Particular`.

        Raises:
            InputError: a sigmoid; no such head; no such stage.
        """
        _refuse_sigmoid(network.settings.activation)
        with on_first_slice(network) as (net, x):
            head_of(net, x, self.head)
            stages_for(net, network, self.maps_at)

    def explain(
        self,
        network: Network,
        targets: Mapping[str, Target],
        budget: Budget,
        epoch: int | None = None,
    ) -> SegNbdtResult:
        """Read the tree, trace its decisions, erase organs.

        Raises:
            InputError: a sigmoid; a network without a head; see
                :class:`~segtrace.explainers.explainer.Explainer`.
        """
        with scoring(
            network, targets, budget, self.title, "logit", volumes=self.of_volumes
        ) as scores:
            _refuse_sigmoid(scores.activation)
            head = head_of(scores.net, scores.x[:1], self.head)
            tree = Tree.of(head.rows)
            labels, cases = predicted(scores.logits).cpu(), network.probes.cases
            channels = {organ: _channel(network.channels[organ]) for organ in targets}
            there = _masks(network, labels)
            masks = torch.stack([there[organ] for organ in targets])
            soft = tree.logprob(scores.logits).argmax(1).cpu()
            inference = Inference.of(labels, soft, [*channels.values()], masks, cases)
            todo = erasures(masks, _free(network, there), self.draws, self.seed)
            sites = stages_for(scores.net, network, self.maps_at)
            present = {organ: int((one.pixels(scores.logits) > 0).sum())
                       for organ, one in scores.weights.items()}  # fmt: skip
            passes = {organ: len(scores.x) + count * len(tree.path(channels[organ]))
                      for organ, count in present.items()}  # fmt: skip
            with scores.clock(len(todo) + sum(passes.values())) as clock:
                flows: dict[str, Flow] = {}
                for organ, target in targets.items():
                    if flows and scores.is_over():
                        break
                    path = tree.path(channels[organ])
                    flows[organ] = maps_of(scores, sites, target, organ, path, against=self.against)
                    clock.step(passes[organ])
                judged = Judged(tree, [*channels.values()], masks)
                erased = self._removed(scores, judged, [*channels], todo, clock)
            chances = _chances(tree, scores, channels)
            seen = unseen(labels, _truth(network, labels), network.channels, cases)
        flow = together(flows, self.combine)
        named = {decision_name(organ, one): network.channels[organ]
                 for organ in flows for one in tree.path(channels[organ])}  # fmt: skip
        explained = measured(self, flow, network._replace(channels=named), epoch)
        done = Done(tuple(flows), tuple(o for o in targets if o not in flows),
                    erased.passes + sum(passes[o] for o in flows), scores.seconds)  # fmt: skip
        names = {c: f"channel {c}" for c in tree.leaves} | {0: BACKGROUND}
        names |= {_channel(own): organ for organ, own in network.channels.items()}
        found = Hierarchy(tree, head, names, channels, chances)
        options = Options(self.against, self.baseline)
        return SegNbdtResult(self, options, explained, found, inference, erased, done, seen)

    def _removed(
        self, scores: Scores, judged: Judged, organs: list[str], todo: list[Erasure], clock: Clock
    ) -> Removed:
        """What erasing costs; see :func:`~segtrace.explainers.wan2020.removal.removed`."""
        hidden = hiding(self.baseline, scores.x)

        def run(part: Sequence[Erasure]) -> Tensor:
            n = torch.tensor([one.n for one in part], device=scores.x.device)
            where = torch.stack([one.where for one in part]).to(scores.x.device)[:, None]
            logits = logits_at(scores.net, torch.where(where, hidden[n], scores.x[n]))
            clock.step(len(part))
            return logits

        return removed(
            judged, organs, scores.logits, todo, run, at_once=SLICES, is_over=scores.is_over
        )


def _refuse_sigmoid(activation: str | None) -> None:
    if activation == SIGMOID:
        raise InputError(
            "SegNBDT decides between classes that exclude each other, and behind a sigmoid each "
            "channel decides for itself: leave segnbdt out"
        )


def _channel(organ: OrganLike) -> int:
    return organ_of(organ, SOFTMAX).channel


def _truth(network: Network, labels: Tensor) -> Tensor:
    """(N, H, W) the truth, or without one what the network says."""
    return labels if network.probes.labels is None else network.probes.labels


def _masks(network: Network, labels: Tensor) -> dict[str, Tensor]:
    """Organ -> (N, H, W) bool, where it is: of all organs of the network."""
    if network.probes.labels is None:
        return {name: labels == _channel(own) for name, own in network.channels.items()}
    return {name: true_mask(network.probes.labels, own) for name, own in network.channels.items()}


def _free(network: Network, there: Mapping[str, Tensor]) -> Tensor:
    """(N, H, W) bool: the body where no organ is; the whole slice where no body is told apart."""
    body = body_of(network.probes.images)
    everywhere = ~body.flatten(1).any(1)[:, None, None]
    return (body | everywhere) & ~torch.stack([*there.values()]).any(0)


def _chances(
    tree: Tree, scores: Scores, channels: Mapping[str, int]
) -> dict[str, dict[int, Chance]]:
    """Organ -> number of a decision on its path -> how probable its group is in its region."""
    found: dict[str, dict[int, Chance]] = {}
    probability = scores.logits.softmax(1)
    for organ, channel in channels.items():
        planes = scores.weights[organ].planes
        region = torch.stack([plane != 0 for plane in planes.values()]).any(0)
        found[organ] = {}
        for decision in tree.path(channel):
            both = decision.logits(scores.logits).softmax(1)
            own = both[:, int(channel not in decision.left)]
            group, _ = decision.sides(channel)
            share = probability[:, list(group)].sum(1) / probability[:, list(decision.below)].sum(1)
            found[organ][decision.number] = Chance(*(_mean(one, region) for one in (own, share)))
    return found


def _mean(values: Tensor, region: Tensor) -> list[float]:
    """Of every slice (H, W) the mean over a region; NaN over an empty one."""
    inside = torch.where(region, values, 0).flatten(1).double().sum(1)
    mean: list[float] = (inside / region.flatten(1).sum(1)).tolist()
    return mean
