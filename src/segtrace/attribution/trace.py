"""One forward pass, one backward pass an organ, every site and rule: a :class:`Flow`."""

import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segtrace.activation import predicted
from segtrace.attribution.evidence import Evidence, Run, Wanted
from segtrace.attribution.flow import Flow
from segtrace.attribution.forward import (
    SCORES,
    Output,
    TargetsLike,
    agreed,
    forward,
    named,
    weights_of,
)
from segtrace.attribution.passes import slices_per_pass
from segtrace.attribution.patching import Estimates
from segtrace.attribution.rules import MapOf, Rule
from segtrace.attribution.rules import resolve as resolve_rules
from segtrace.axes import are_volumes
from segtrace.errors import unknown
from segtrace.network import guards
from segtrace.network.edges import EdgesLike
from segtrace.network.logits import logits_at
from segtrace.network.proposal.proposal import proposed
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import StagesLike, known
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped


@guards.held(
    batch=guards.optional(guards.a_count),
    stages=guards.places_or_sites,
    edges=guards.places_or_proposed,
    estimates=guards.optional(guards.instance(Estimates, "segtrace.attribution.Estimates(means)")),
)
def trace(
    net: nn.Module,
    stages: StagesLike | Sequence[Site] | Literal["proposed"],
    image: Tensor,
    target: TargetsLike,
    rules: Iterable[str | Rule | MapOf] = ("seg_grad_cam",),
    score: str = "logit",
    *,
    edges: EdgesLike | Literal["proposed"] = None,
    output: Output | None = None,
    gradient_cut: Collection[str] = (),
    batch: int | None = None,
    activation: str | None = None,
    estimates: Estimates | None = None,
) -> Flow:
    """Evidence maps of every site for every organ: Eq. 1-3 of Hasany et al. 2023 and relatives.

    Every slice goes forward once and backward once an organ that is present in it, shared by all
    sites and rules, no deeper than the shallowest site. Of several volumes the logits come from a
    pass of their own, so that but one graph at a time is in memory. The network is left as it was:
    weights, ``.grad``, buffers, train/eval flags, hooks, random state, autocast and grad mode.

    Args:
        net: the network; wrappers of ``torch.compile`` and DDP are looked through. Of a classifier
            the logits (N, classes) are those of one pixel: ``targets.organ(c, "all")`` is its
            class c, for which ``seg_grad_cam`` is Grad-CAM (Selvaraju et al. 2017).
        stages: name -> module path (or ``{"module": …, "layout": …}``), a list of names of a
            known network, or ``None`` for all of its stages; or sites that are resolved, see
            :class:`~segtrace.network.sites.Sites`. ``{}`` where edges alone are meant.
            ``"proposed"`` takes what :func:`segtrace.describe` proposes, and says it.
        image: (N, C, *image) preprocessed slices, or volumes. Half precision is raised to float32.
        target: organ -> target; or one target, which is then called ``target``. See
            :mod:`segtrace.attribution.targets`; a tensor is a target too.
        rules: names, :class:`~segtrace.attribution.rules.Rule` objects, or functions
            (activation, gradient) -> map.
        score: φ, a key of :data:`~segtrace.attribution.forward.SCORES`.
        edges: name -> :class:`~segtrace.network.edges.Edge` or its plain values, or a list of
            names of a known network: maps of these too, behind the stages. ``None`` for none;
            ``"proposed"`` beside proposed stages.
        output: picks the logits (N, channels, *image) from what the network returns: an index, a
            key, a field or a function. Of several outputs one of the image's size needs none. It
            may enlarge them, as SegNBDT's program does with coarser ones before it asks for a
            pixel: ``lambda out: torch.nn.functional.interpolate(out, size=(224, 224))``.
        gradient_cut: stages known to have a wrong gradient (from ``describe``); of the network,
            in the table of known ones also those that are not traced.
        batch: slices per pass; by default 4 on a CPU and all at once elsewhere, and volumes one by
            one. Slices do not influence each other in evaluation mode, so this decides speed and
            memory, and results up to rounding. For a network in which they do (attention over the
            slices of a batch), give N.
        activation: ``softmax`` or ``sigmoid``, how logits become a prediction, see
            :mod:`segtrace.activation`; ``None`` for what the target says, or else of one channel a
            sigmoid, of several a softmax.
        estimates: also what cutting every site would cost, to first order; of these means.

    Raises:
        InputError: see the parameters; the message names the value and what was allowed.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> everywhere = torch.ones(1, 2, 8, 8)
    >>> flow = trace(net, {"enc": "1", "head": "2"}, torch.rand(1, 1, 8, 8), everywhere)
    >>> flow.maps["enc"].shape  # (rule, organ, slice, h, w)
    torch.Size([1, 1, 1, 8, 8])
    """
    net = unwrapped(net)
    x = as_input(net, image)
    stages, edges, guess = proposed(net, x, stages, edges, output)
    if guess is not None:
        warnings.warn(guess.line, stacklevel=3)
    places = Sites.of(net, stages, edges)
    _check_cut(net, places, gradient_cut)
    chosen = resolve_rules(rules)
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    targets = named(target)
    with undisturbed(net, x.device):
        beside = [] if estimates is None else estimates.beside
        heard = Sites((*places, *(s for s in beside if s.name not in places.names)))
        heard = heard.settled(net, x)
        places = Sites(heard[: len(places)])
        passes = x.split(slices_per_pass(x, batch))
        runs = (
            Run.of(*forward(net, heard, part.requires_grad_(), output), score, targets, activation)
            for part in passes
        )
        if are_volumes(x) and len(passes) > 1:  # there is not the room for all of their graphs
            with torch.no_grad():
                logits = torch.cat([logits_at(net, part, output) for part in passes])
        else:
            kept = list(runs)
            logits = torch.cat([run.logits for run in kept])
            runs = (kept.pop(0) for _ in passes)
        activation = agreed(activation, targets, logits)
        weights = [weights_of(name, t, logits, activation) for name, t in targets.items()]
        parts, first = [], 0
        for run in runs:
            mine = slice(first, first := first + len(run.logits))
            own = [w[mine] for w in weights]
            wanted = Wanted(places, chosen, x.shape[2:], mine, heard, estimates)
            parts.append(Evidence.of(run, own, wanted))
            del run  # and its graph, before the next one is made
    evidence = Evidence.joined(parts)
    return Flow(
        maps=evidence.maps,
        kappa=evidence.kappa,
        gradient_l1=evidence.gradient_l1,
        status=evidence.status(places, chosen, gradient_cut),
        scores=evidence.scores,
        region_px=evidence.region_px,
        prediction=predicted(logits, activation),
        rules=tuple(rule.name for rule in chosen),
        methods={rule.name: rule for rule in chosen},
        organs=tuple(targets),
        score=score,
        activation=activation,
        estimates=None if estimates is None else evidence.lost,
        estimated=() if estimates is None else heard.names,
    )


def _check_cut(net: nn.Module, places: Sequence[Site], cut: Iterable[str]) -> None:
    """Refuse a name that is no site, which would mark nothing as wrong."""
    names = dict.fromkeys(stage.name for stage in (*places, *known(net)))
    for name in cut:
        if name not in names:
            raise unknown("stage", name, names, "gradient_cut: this network")
