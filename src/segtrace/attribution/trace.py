"""One forward pass, one backward pass an organ, every stage and rule: a :class:`Flow`."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.attribution.flow import Flow, Status
from segtrace.attribution.rules import Rule
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.attribution.stages import Stage, StagesLike, recording
from segtrace.attribution.stages import resolve as resolve_stages
from segtrace.attribution.targets import Target
from segtrace.attribution.undisturbed import as_input, undisturbed, unwrapped
from segtrace.errors import InputError, unknown

KAPPA_DEGENERATE = 0.05
"""Below it the averaged gradient is residue (methods: normalisation cancels the mean)."""

SCORES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda logits: logits,
    "centered": lambda logits: logits - logits.mean(1, keepdim=True),
    "logprob": lambda logits: logits.log_softmax(1),
    "prob": lambda logits: logits.softmax(1),
}
"""φ of the score Σ weights · φ(logits). ``centered`` and ``prob`` do not change when the same map
is added to every logit, as the prediction does not; ``logit`` does."""

TargetsLike = Mapping[str, Target | Tensor] | Target | Tensor


def trace(
    net: nn.Module,
    stages: StagesLike,
    image: Tensor,
    target: TargetsLike,
    rules: Iterable[str | Rule] = ("seg_grad_cam",),
    score: str = "logit",
    *,
    output: Callable[[Any], Tensor] | None = None,
    gradient_cut: Collection[str] = (),
) -> Flow:
    """Evidence maps of every stage for every organ: Eq. 1-3 of Hasany et al. 2023 and relatives.

    One forward pass of the batch and one backward pass an organ that is present, shared by all
    stages and rules, no deeper than the shallowest stage. The network is left as it was: weights,
    ``.grad``, buffers, train/eval flags, hooks, random state, autocast and grad mode.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through.
        stages: name -> module path (or ``{"module": …, "layout": …}``), a list of names of a
            known network, or ``None`` for all of its stages.
        image: (N, C, *image) preprocessed slices. Half precision is raised to float32.
        target: organ -> target; or one target, which is then called ``target``. See
            :mod:`segtrace.attribution.targets`; a tensor is a target too.
        rules: names or :class:`~segtrace.attribution.rules.Rule` objects.
        score: φ, a key of :data:`SCORES`.
        output: picks the logits (N, channels, *image) from what the network returns.
        gradient_cut: stages known to have a wrong gradient (from ``describe``).

    Raises:
        InputError: see the parameters; the message names the value and what was allowed.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> everywhere = torch.ones(1, 2, 8, 8)
    >>> flow = trace(net, {"enc": "1", "head": "2"}, torch.rand(1, 1, 8, 8), everywhere)
    >>> flow.maps["enc"].shape  # (rule, organ, slice, h, w)
    torch.Size([1, 1, 1, 8, 8])
    """
    net = unwrapped(net)
    places = resolve_stages(net, stages)
    chosen = resolve_rules(rules)
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    targets = target if isinstance(target, Mapping) else {"target": target}
    if not targets:
        raise InputError("no organ is named; give at least one target")
    x = as_input(net, image)
    with undisturbed(net, x.device):
        acts, logits = forward(net, places, x.requires_grad_(), output)
        scored = SCORES[score](logits)
        bare = unnormalised(acts, scored)
        organs = [
            _Organ.of(weights_of(name, weights, logits), scored, acts, places, chosen)
            for name, weights in targets.items()
        ]
    structural = torch.tensor(
        [Status.GRADIENT_CUT if p.name in gradient_cut else Status.OK for p in places]
    )
    return Flow(
        maps={p.name: torch.stack([o.maps[p.name] for o in organs], 1) for p in places},
        kappa=torch.stack([o.kappa for o in organs], 1),
        gradient_l1=torch.stack([o.gradient_l1 for o in organs], 1),
        status=torch.stack([_status(o, places, chosen, bare, structural) for o in organs], 2),
        scores=torch.stack([o.score for o in organs]),
        region_px=torch.stack([o.region_px for o in organs]),
        prediction=logits.detach().argmax(1),
        rules=tuple(rule.name for rule in chosen),
        organs=tuple(targets),
        score=score,
    )


def forward(
    net: nn.Module,
    stages: Sequence[Stage],
    x: Tensor,
    output: Callable[[Any], Tensor] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Activations of the stages by name, as the network made them, and the logits: one graph.

    Raises:
        InputError: a stage that did not run or does not depend on the input; logits that are not
            (N, channels, *image).
    """
    with recording(net, stages) as record:
        returned = net(x)
    if overwritten := record.overwritten():
        # Run again, passing copies on, so that the record keeps what the stage itself put out.
        with recording(net, stages, cloned=overwritten) as record:
            returned = net(x)
    for stage in stages:
        if stage.name not in record.outputs:
            raise InputError(f"stage {stage.name!r} ({stage.module}) did not run")
        if not record.outputs[stage.name].requires_grad:
            raise InputError(f"stage {stage.name!r} ({stage.module}) does not depend on the image")
    acts = {stage.name: record.outputs[stage.name] for stage in stages}
    return acts, _logits(returned, x, output)


def _logits(returned: Any, x: Tensor, output: Callable[[Any], Tensor] | None) -> Tensor:
    logits = returned if output is None else output(returned)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"the network returns a {type(logits).__name__}; say output=… to pick the logits, "
            "e.g. output=lambda out: out[0]"
        )
    if logits.ndim != x.ndim or logits.shape[0] != x.shape[0]:
        raise InputError(
            f"the logits have shape {tuple(logits.shape)}; an image of {tuple(x.shape)} asks for "
            f"({x.shape[0]}, channels, …) with {x.ndim - 2} image axes"
        )
    return logits


def weights_of(name: str, target: Target | Tensor, logits: Tensor) -> Tensor:
    """The target's weights over these logits, shape checked.

    Raises:
        InputError: weights of another shape than the logits.
    """
    weights = target if isinstance(target, Tensor) else target(logits.detach())
    if weights.shape != logits.shape:
        raise InputError(
            f"the target of {name!r} has shape {tuple(weights.shape)}; "
            f"the logits have {tuple(logits.shape)}"
        )
    return weights.detach().to(logits)


@dataclass(frozen=True)
class _Organ:
    """One organ's share of a flow. S stages, R rules, N slices."""

    maps: dict[str, Tensor]  # stage -> (R, N, h, w)
    kappa: Tensor  # (S, N)
    gradient_l1: Tensor  # (S, N)
    connected: tuple[bool, ...]  # S
    score: Tensor  # (N,)
    region_px: Tensor  # (N,)

    @classmethod
    def of(
        cls,
        weights: Tensor,
        scored: Tensor,
        acts: Mapping[str, Tensor],
        stages: Sequence[Stage],
        rules: Sequence[Rule],
    ) -> "_Organ":
        region_px = (weights != 0).any(1).flatten(1).sum(1)
        present = bool(region_px.any())
        gradients = _gradients(weights, scored, acts) if present else dict.fromkeys(acts)
        maps, kappas, norms = {}, [], []
        for stage in stages:
            activation = stage.channels_first(acts[stage.name].detach())
            gradient = gradients[stage.name]
            if gradient is None:
                cells = activation[:, 0]
                maps[stage.name] = cells.new_zeros(len(rules), *cells.shape)
                norms.append(cells.new_zeros(len(cells)))
                kappas.append(cells.new_full((len(cells),), torch.nan))
                continue
            gradient = stage.channels_first(gradient)
            maps[stage.name] = torch.stack([rule.map(activation, gradient) for rule in rules])
            norms.append(gradient.abs().flatten(1).sum(1))
            kappas.append(gradient.flatten(2).sum(2).abs().sum(1) / norms[-1])
        return cls(
            maps=maps,
            kappa=torch.stack(kappas),
            gradient_l1=torch.stack(norms),
            connected=tuple(not present or gradients[s.name] is not None for s in stages),
            score=(weights * scored.detach()).flatten(1).sum(1),
            region_px=region_px,
        )


def _gradients(
    weights: Tensor, scored: Tensor, acts: Mapping[str, Tensor]
) -> dict[str, Tensor | None]:
    """∂S/∂A at every stage; ``None`` where the score does not depend on the stage."""
    gradients = torch.autograd.grad(
        scored, list(acts.values()), weights, retain_graph=True, allow_unused=True
    )
    if all(gradient is None for gradient in gradients):
        raise InputError(f"the score depends on none of the stages {', '.join(acts)}")
    return dict(zip(acts, gradients, strict=True))


def unnormalised(acts: Mapping[str, Tensor], scored: Tensor) -> frozenset[str]:
    """The stages from which some path to the score meets no instance normalisation.

    An instance normalisation subtracts every channel's mean, so the gradient in front of it has
    mean zero. Where all paths pass one, averaging rules draw the residue of the image border.
    """
    seen, queue = set(), [scored.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if not _is_instance_norm(node):
            queue.extend(following for following, _ in node.next_functions)
    return frozenset(name for name, activation in acts.items() if activation.grad_fn in seen)


def _is_instance_norm(node: Any) -> bool:
    # torch runs instance normalisation as batch normalisation on the batch's own statistics;
    # in evaluation mode nothing else does.
    return "BatchNorm" in node.name() and bool(getattr(node, "_saved_training", False))


def _status(
    organ: _Organ,
    stages: Sequence[Stage],
    rules: Sequence[Rule],
    bare: Collection[str],
    structural: Tensor,
) -> Tensor:
    """(S, R, N) worst status that applies to each map of an organ."""
    averages = torch.tensor([rule.averages for rule in rules])[:, None]  # (R, 1)
    found = []
    for s, stage in enumerate(stages):
        maps = organ.maps[stage.name].flatten(2)  # (R, N, cells)
        degenerate = (organ.kappa[s] < KAPPA_DEGENERATE) | (stage.name not in bare)  # (N,)
        finite = maps.isfinite().all(2) & (organ.score + organ.gradient_l1[s]).isfinite()
        holds = {
            Status.DEAD: (maps <= 0).all(2),
            Status.GAP_DEGENERATE: averages & degenerate,
            Status.GRADIENT_CUT: structural[s] == Status.GRADIENT_CUT,
            Status.DISCONNECTED: torch.tensor(not organ.connected[s]),
            Status.ABSENT: organ.region_px == 0,
            Status.NONFINITE: ~finite,
        }
        worst = torch.zeros(maps.shape[:2], dtype=torch.int8, device=maps.device)
        for status, where in holds.items():  # in rising order, so the worst one stays
            worst[where.to(maps.device).expand_as(worst)] = status
        found.append(worst)
    return torch.stack(found)
