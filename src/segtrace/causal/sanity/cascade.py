"""Maps while the weights are drawn anew, from the head down (Adebayo et al. 2018)."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segtrace.activation import OrganLike
from segtrace.attribution import targets
from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import Rule
from segtrace.attribution.trace import trace
from segtrace.causal.batches import Clock
from segtrace.causal.sanity.groups import Group
from segtrace.causal.sanity.randomise import randomise
from segtrace.causal.sanity.similarity import Compared
from segtrace.labelled import Dataset, Form
from segtrace.measures.energy import nan_where
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import unwrapped
from segtrace.progress import OnProgress

TRAINED = "trained"
"""The step before any group is drawn anew."""
OWN, OTHER = "own", "other"
"""The region that the score is taken over: the organ's, or that of another organ in the slice."""
JUDGED = ("spearman", "spearman_absolute")
"""The similarities that are judged: of the signed map, and of |map|."""
BESIDE = ("ssim", "support")
"""Those that are not judged: structure, and where the map is not 0."""
NULL_QUANTILE = 0.95
"""Of the similarities of a map to those of other cases: what a randomised map is held against."""
CASCADE = Form(
    {
        **dict.fromkeys((*JUDGED, *BESIDE), "step region site rule organ slice"),
        **{f"null_{name}": "site rule organ slice" for name in JUDGED},
    },
    {
        "steps": "step",
        "regions": "region",
        "sites": "site",
        "rules": "rule",
        "organs": "organ",
        "cases": "case slice",
    },
    ("seeds", "permuted", "unclear"),
)


@dataclass(frozen=True)
class Asked:
    """What is traced again and again: the arguments of :func:`segtrace.trace` but the network."""

    stages: Sequence[Stage]
    images: Tensor
    organs: Mapping[str, OrganLike]
    rules: Sequence[str | Rule]
    score: str = "logit"
    activation: str | None = None

    def flow(self, net: nn.Module, masks: Tensor) -> Flow:
        """The maps of a network, of every organ over its region (O, N, H, W)."""
        target = {
            name: targets.masked(organ, mask, self.activation)
            for (name, organ), mask in zip(self.organs.items(), masks, strict=True)
        }
        return trace(
            net,
            self.stages,
            self.images,
            target,
            self.rules,
            self.score,
            activation=self.activation,
        ).cpu()


def passes_of(steps: int, seeds: int) -> int:
    """How often all slices are traced: every step with both regions, the trained network once."""
    return 2 + 2 * steps * seeds


def cascade(
    net: nn.Module,
    groups: Sequence[Group],
    asked: Asked,
    masks: Tensor,
    cases: Sequence[str],
    *,
    seeds: int = 3,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> Dataset:
    """How alike the trained network's maps are to those of a copy that forgets group by group.

    Region and score stay the same over the steps. The network itself is left as it was.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through.
        groups: its weights, the head's first, see :func:`segtrace.causal.sanity.groups.groups_of`.
        asked: what is traced.
        masks: (O, N, H, W) bool, the region of every organ.
        cases: name of each slice's case.
        seeds: how often fresh weights are drawn; the similarities are means over them, of Spearman
            of the signed map the mean of its size |ρ|.
        seed: of the first.
        progress: called with an estimate before the start and after every trace.

    Returns:
        Axes step (``trained``, and the stages whose weights were drawn last, the head first),
        region, site, rule, organ and slice: ``spearman`` in [0, 1], ``spearman_absolute`` (of
        |map|), ``ssim`` and ``support`` (of where the map is not 0; NaN where it is 0 nowhere) in
        [-1, 1], see :mod:`segtrace.causal.sanity.similarity`. NaN where a map may not be read
        (gap-degenerate and worse), or the trained one is constant. ``null_…`` beside: the 95th
        percentile of the same among the trained network's maps of slices of other cases; NaN
        without one. Attributes: ``permuted`` and ``unclear``, paths of modules.
    """
    net = unwrapped(net)
    began = time.perf_counter()
    before = asked.flow(net, masks)
    took = time.perf_counter() - began
    clock = Clock(passes_of(len(groups), seeds) - 1, took, progress)
    elsewhere = others(masks)
    trained = {name: Compared.of(maps) for name, maps in before.maps.items()}

    def both(one: nn.Module) -> Tensor:
        found = []
        for region in (masks, elsewhere):
            found.append(_alike(trained, before, asked.flow(one, region)))
            clock.step(1)
        return torch.stack(found, 1)  # (similarity, region, S, R, O, N)

    started = both(net)
    permuted: list[str] = []
    drawn = [torch.stack([both(one) for one in _forgetting(net, groups, seed + n, permuted)])
             for n in range(seeds)]  # fmt: skip
    steps = torch.cat([started[None], torch.stack(drawn).mean(0)]).movedim(1, 0)
    return CASCADE.dataset(
        {
            **dict(zip((*JUDGED, *BESIDE), steps, strict=True)),
            **_nulls(trained, before, cases),
            "steps": [TRAINED, *(group.name for group in groups)],
            "regions": [OWN, OTHER],
            "sites": before.stages,
            "rules": before.rules,
            "organs": before.organs,
            "cases": cases,
            "seeds": seeds,
            "permuted": tuple(dict.fromkeys(permuted)),
            "unclear": tuple(path for group in groups for path in group.unclear),
        }
    )


def others(masks: Tensor) -> Tensor:
    """Of every organ the region of the next organ that the slice holds, (O, N, H, W).

    Empty where it holds no other.
    """
    held, found = masks.flatten(2).any(-1), torch.zeros_like(masks)
    count = len(masks)
    for o in range(count):
        for n in range(masks.shape[1]):
            after = ((o + step) % count for step in range(1, count))
            other = next((j for j in after if held[j, n]), None)
            if other is not None and held[o, n]:
                found[o, n] = masks[other, n]
    return found


def _forgetting(
    net: nn.Module, groups: Sequence[Group], seed: int, permuted: list[str]
) -> Iterator[nn.Module]:
    """One copy of the network, a group more forgotten at each step."""
    other = copy.deepcopy(net)
    for number, group in enumerate(groups):
        permuted += randomise(other, group.modules, seed * len(groups) + number)
        yield other


def _alike(trained: Mapping[str, Compared], before: Flow, after: Flow) -> Tensor:
    """(similarity, S, R, O, N), NaN where there is nothing to compare."""
    found = []
    for s, (name, one) in enumerate(trained.items()):
        like = one.like(Compared.of(after.maps[name]))
        unread = _unread(before, s) | _unread(after, s) | one.constant
        signed, *others = like.values()
        found.append(nan_where(unread, torch.stack([signed.abs(), *others])))
    return torch.stack(found, 1)


def _unread(flow: Flow, s: int) -> Tensor:
    return flow.status[s] >= Status.GAP_DEGENERATE


def _nulls(
    trained: Mapping[str, Compared], before: Flow, cases: Sequence[str]
) -> dict[str, Tensor]:
    """The quantile of the similarities to slices of other cases, (S, R, O, N) each."""
    same = torch.tensor([[one == other for other in cases] for one in cases])
    found: dict[str, list[Tensor]] = {f"null_{name}": [] for name in JUDGED}
    for s, one in enumerate(trained.values()):
        unread = _unread(before, s) | one.constant
        left = same | unread[..., None] | unread[..., None, :]
        for name, across in one.across().items():
            sized: Callable[[Tensor], Tensor] = torch.abs if name == JUDGED[0] else Tensor.double
            values = nan_where(left, sized(across))
            found[f"null_{name}"].append(values.nanquantile(NULL_QUANTILE, dim=-1))
    return {name: torch.stack(each) for name, each in found.items()}
