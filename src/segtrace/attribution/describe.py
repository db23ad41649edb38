"""What a network is made of, and whether its gradients can be believed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from segtrace import room
from segtrace.attribution.float64 import in_float64
from segtrace.attribution.flow import KAPPA_DEGENERATE, unnormalised
from segtrace.attribution.forward import Output, forward
from segtrace.errors import InputError
from segtrace.network import edges as edges_of
from segtrace.network import guards
from segtrace.network import stages as stages_of
from segtrace.network.altering import altering
from segtrace.network.edges import Edge, EdgesLike
from segtrace.network.graph import gradients_of
from segtrace.network.guards import PROPOSED
from segtrace.network.joints import settled
from segtrace.network.logits import logits_at
from segtrace.network.proposal.proposal import Proposal, proposed
from segtrace.network.sites import Site, Sites
from segtrace.network.stages import Stage, StagesLike
from segtrace.network.undisturbed import as_input, undisturbed, unwrapped

STEPS = (1e-6, 1e-7, 1e-5, 1e-4, 1e-8, 1e-3)
"""How far a stage is moved, as a share of its own values. A kink (ReLU, max-pool) within a step
spoils the quotient, and so does rounding where the stage hardly changes the score (the lowest ones
of an untrained network): a stage that fails is tried again, along another direction, by less or
by more."""
ROUNDING = 100.0
"""A change of the score of fewer roundings than this says nothing."""
KEY = (
    "cells: of a map of this image; stride: pixels a cell; kappa: 1 where the gradient has one "
    "sign, 0 where its average cancels; gradient: right, or cut, where every map is wrong; "
    "average: whether seg_grad_cam, which averages the gradient, can be read there"
)
"""What stands in the columns of the table, on one line."""
TOLERANCE = 1e-3
"""Autograd and the quotient agree to about 1e-7 in float64; a cut path leaves some per cent."""


@dataclass(frozen=True)
class StageReport:
    """One line of the table.

    Attributes:
        stage: name, module path, layout.
        kind: class of the module.
        channels: K.
        cells: (h, w) of the stage for the image given.
        stride: input pixels per cell along each axis.
        gradient: autograd's derivative of a random score along a random direction.
        quotient: the central difference quotient of the same, in float64.
        gradient_cut: whether the two disagree: maps of this stage are wrong.
        kappa: coherence of the gradient, in [0, 1].
        averages: whether rules that average the gradient (``seg_grad_cam``) can be used here.
    """

    stage: Stage
    kind: str
    channels: int
    cells: tuple[int, ...]
    stride: tuple[float, ...]
    gradient: float
    quotient: float
    gradient_cut: bool
    kappa: float
    averages: bool


@dataclass(frozen=True)
class Description:
    """The table of a network's stages, and its edges. ``print`` it.

    Attributes:
        stages: one report a stage.
        edges: what enters the decoder stages; empty where it is not known.
        memory: bytes that the stages' activations and gradients take for one slice in float32,
            the least that a trace needs beside the network's own forward and backward pass.
        proposal: where the network is in no table, the guess that stages and edges are.
        edgeless: why there are no edges, where none were asked for and none are known.
    """

    stages: tuple[StageReport, ...]
    edges: tuple[Edge, ...]
    memory: int
    proposal: Proposal | None = None
    edgeless: str = ""

    @property
    def sites(self) -> Sites:
        """Its stages and edges, as every function takes them."""
        return Sites((*(report.stage for report in self.stages), *self.edges))

    @property
    def gradient_cut(self) -> tuple[str, ...]:
        """The stages with a wrong gradient: pass them on as ``trace(gradient_cut=…)``."""
        return tuple(report.stage.name for report in self.stages if report.gradient_cut)

    def __str__(self) -> str:
        head = ("stage", "module", "K", "cells", "stride", "layout", "kappa", "gradient", "average")
        rows = [head, *map(_row, self.stages)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.append(KEY)
        if self.edgeless:
            lines.append(f"no edges: {self.edgeless}")
        for edge in self.edges:
            place = "" if edge.argument is None else f", argument {edge.argument}"
            other = edge.beside or "what comes from below"
            joined = f" ({edge.joined} with {other})" if edge.joined else ""
            if edge.joined == "cat" and edge.part is not None:
                joined += f", channels {edge.part[0]} … {edge.part[1] - 1}"
            lines.append(
                f"{edge.name}: {edge.source} -> {edge.stage} at {edge.module}{place}{joined}"
            )
        lines.append(f"maps of one slice: {room.in_words(self.memory)} beside the network's passes")
        if self.proposal is not None:
            lines.append(str(self.proposal))
        return "\n".join(lines)


def _row(report: StageReport) -> tuple[str, ...]:
    return (
        report.stage.name,
        f"{report.stage.module} ({report.kind})",
        str(report.channels),
        "x".join(map(str, report.cells)),
        "x".join(f"{s:g}" for s in report.stride),
        report.stage.layout,
        f"{report.kappa:.2f}",
        "cut" if report.gradient_cut else "right",
        "yes" if report.averages else "no: only normalised paths leave, or kappa < 0.05",
    )


@guards.held(stages=guards.places_or_sites)
def describe(
    net: nn.Module,
    image: Tensor,
    stages: StagesLike | Sequence[Site] | Literal["proposed"] = None,
    *,
    edges: EdgesLike = None,
    output: Output | None = None,
) -> Description:
    """The stages and edges of a network, and whether autograd is the derivative at each stage.

    Some networks cut paths out of autograd (MONAI 1.6.1's ResNet-18 shortcuts pass ``out.data``);
    every map behind the cut is then wrong, and no comparison with another autograd tool shows it.
    So each stage is moved by a small step along a random direction, in float64, and the change of
    a random score is held against the gradient. Run it once on a network that is new to you.

    The direction moves equal values equally, so that ties in max-pooling, of which CT has many in
    air, stay ties: at a tie there is no derivative.

    Args:
        net: as in :func:`segtrace.trace`. It runs in float64 and is left as it was.
        image: (N, C, *image); the first slice is used.
        stages: as in :func:`segtrace.trace`; where the network is not in the table and none are
            given, a proposal: its table, and below it what to paste once it is right.
        edges: as in :func:`segtrace.network.edges.resolve`; where the network is not in the
            table and none are given, those of the proposal, or none.
        output: as in :func:`segtrace.trace`.

    Raises:
        InputError: as in :func:`segtrace.trace`; non-finite logits; an edge whose module runs more
            than once.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 1))
    >>> print(describe(net, torch.rand(1, 1, 9, 9), {"enc1": "1"}).gradient_cut)
    ()
    """
    net = unwrapped(net)
    plain = as_input(net, image[:1])
    if stages is None and not stages_of.known(net):
        stages = PROPOSED
    stages, _, guess = proposed(net, plain, stages, edges, output)
    places = Sites.of(net, stages).stages
    if edges is not None:
        found = edges_of.resolve(net, edges)
    else:
        found = edges_of.known(net) if guess is None else guess.edges
    with undisturbed(net, plain.device), in_float64(net, plain):
        x = plain.double().requires_grad_()
        found = settled(net, found, x, places)
        with altering(net, {edge: lambda tensor: tensor for edge in found if not edge.joined}):
            acts, logits = forward(net, places, x, output)
        if not logits.isfinite().all():
            raise InputError("the logits are not finite: there is no derivative to check")
        bare = unnormalised(acts, logits)
        # One weight a channel, as organs have: the average of the gradient then means something.
        weights = torch.zeros_like(logits) + _per_channel(logits[0], seed=0)
        gradients = gradients_of(logits, list(acts.values()), weights)
        rounding = torch.finfo(logits.dtype).eps * float((weights * logits).detach().norm())
        reports = []
        for stage, found_there in zip(places, gradients, strict=True):
            here = acts[stage.name].detach()
            gradient = torch.zeros_like(here) if found_there is None else found_there

            # Subtracted logit by logit: the sums would round at their own, larger size.
            def change(moved: Tensor, stage: Stage = stage) -> float:
                with torch.no_grad(), altering(net, {stage: lambda _: moved}):
                    return float((weights * (logits_at(net, x, output) - logits)).sum())

            found_here = _derivatives(stage, here, gradient, change, rounding)
            reports.append(_report(net, stage, gradient, found_here, x, bare))
    memory = 2 * 4 * sum(activation.numel() for activation in acts.values())
    why = edges_of.edgeless(net) if edges is None and guess is None and not found else ""
    return Description(tuple(reports), found, memory, guess, why)


def _per_channel(first: Tensor, seed: int) -> Tensor:
    """(K, 1, …) random numbers for the channels of (K, *cells)."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(len(first), generator=generator, dtype=torch.float64)
    return numbers.to(first).reshape(-1, *[1] * (first.ndim - 1))


def _derivatives(
    stage: Stage,
    activation: Tensor,
    gradient: Tensor,
    change: Callable[[Tensor], float],
    rounding: float,
) -> tuple[float, float, bool]:
    """Autograd's derivative, the difference quotient along one direction, whether it is cut.

    A quotient counts where forward and backward ones agree, which neither rounding nor a kink
    lets them. One that counts and is autograd's ends the search, as do two that count and are not:
    along some directions a cut path hardly shows, so no more of them are tried than it takes.
    """
    missed = 0
    for attempt, size in enumerate(STEPS):
        step = _direction(stage, activation, seed=attempt)
        derivative = float((gradient * step).sum())
        ahead, behind = (change(activation + by * step) / by for by in (size, -size))
        quotient = (ahead + behind) / 2
        if size * max(abs(ahead), abs(behind)) <= ROUNDING * rounding:
            # Lost in rounding, or nothing leads from here to the score: then no step changes it.
            if derivative == quotient == 0 == change(activation + max(STEPS) * step):
                return derivative, quotient, False
        elif _agree(ahead, behind):
            if _agree(derivative, quotient):
                return derivative, quotient, False
            missed += 1
            if missed == 2:
                break
    return derivative, quotient, True


def _agree(derivative: float, quotient: float) -> bool:
    return abs(derivative - quotient) <= TOLERANCE * max(abs(derivative), abs(quotient))


def _direction(stage: Stage, activation: Tensor, seed: int) -> Tensor:
    """r_k A_k + c_k A_k |A_k| / s, s the root mean square of A.

    A function of the value alone, so ties stay ties and zeros stay zeros; not an affine one, which
    a normalisation behind the stage would undo.
    """
    first = stage.channels_first(activation)[0]  # (K, *cells)
    linear, square = (_per_channel(first, 1 + 2 * seed + part) for part in (0, 1))
    size = first.square().mean().sqrt().clamp(min=torch.finfo(first.dtype).tiny)
    step = torch.zeros_like(activation)
    stage.channels_first(step)[0].copy_(linear * first + square * first * first.abs() / size)
    return step


def _report(
    net: nn.Module,
    stage: Stage,
    gradient: Tensor,
    derivatives: tuple[float, float, bool],
    x: Tensor,
    bare: frozenset[str],
) -> StageReport:
    first = stage.channels_first(gradient)
    cells = tuple(first.shape[2:])
    l1 = float(gradient.abs().sum())
    kappa = float(first.flatten(2).sum(2).abs().sum()) / l1 if l1 else torch.nan
    return StageReport(
        stage=stage,
        kind=type(net.get_submodule(stage.module)).__name__,
        channels=first.shape[1],
        cells=cells,
        stride=tuple(size / cell for size, cell in zip(x.shape[2:], cells, strict=True)),
        gradient=derivatives[0],
        quotient=derivatives[1],
        gradient_cut=derivatives[2],
        kappa=kappa,
        averages=stage.name in bare and kappa >= KAPPA_DEGENERATE,
    )
