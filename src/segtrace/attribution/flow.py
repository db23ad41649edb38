"""The result of a trace: signed maps of every site, frozen, with the status of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from segtrace.activation import SIGMOID, SOFTMAX
from segtrace.attribution.rules import Method, Rule
from segtrace.errors import InputError
from segtrace.html_table import Cell, paragraph, table
from segtrace.labelled import Dataset
from segtrace.network import guards
from segtrace.network.graph import walk
from segtrace.progress import counted

INPUT = "input"
"""The one stage of maps of the image: what the network is shown."""


class Status(IntEnum):
    """What may be said of one map; of several that apply, the largest is reported."""

    OK = 0
    DEAD = 1
    """The region is there, yet no pixel of the map is positive."""
    INCOMPLETE = 2
    """An integrated map whose sum misses the change of the score by more than 5 %."""
    GAP_DEGENERATE = 3
    """The rule averages a gradient whose average is structurally (nearly) zero."""
    GRADIENT_CUT = 4
    """Autograd's gradient at this site is not the derivative (see ``describe``)."""
    DISCONNECTED = 5
    """The score does not depend on this site."""
    ABSENT = 6
    """The region is empty: nothing to explain."""
    NONFINITE = 7
    """A NaN or an infinity in the activation, the gradient or the score."""

    @property
    def label(self) -> str:
        """The name used in tables and pictures, e.g. ``"gap_degenerate"``."""
        return self.name.lower()


@dataclass(frozen=True, repr=False)
class Flow:
    """Signed evidence maps of every site for every organ and slice.

    Nothing in it is resized, rectified or normalised. ``N`` slices, ``O`` organs, ``R`` rules,
    ``S`` sites: the stages, and behind them the edges that were asked for.

    Attributes:
        maps: site -> (R, O, N, h, w) signed map at the site's own resolution.
        kappa: (S, O, N) coherence of the gradient, Σ_k|Σ_uv G| / Σ_k Σ_uv|G|, in [0, 1]; NaN
            where the gradient is zero everywhere.
        gradient_l1: (S, O, N) Σ|G| over channels and cells.
        status: (S, R, O, N) int8 values of :class:`Status`.
        scores: (O, N) the explained score Σ weights · φ(logits).
        region_px: (O, N) pixels of the logits whose weights are not all zero.
        prediction: (N, H, W) arg max of the logits over channels; under a sigmoid (N, C, H, W)
            bool, where each is above 0.
        rules: names along R.
        methods: name -> rule or other method, with its equation and papers; empty where none is
            known.
        organs: names along O.
        score: φ, one of ``logit``, ``centered``, ``logprob``, ``prob``.
        activation: ``softmax`` or ``sigmoid``.
        change: (S, O, N) score minus score at the baseline; of ``integrate`` alone.
        completeness_error: (S, O, N) |Σ map - change| / |change|; of ``integrate`` alone.
        estimates: (E, O, N) the score that cutting a site would cost, to first order, see
            :class:`~segtrace.attribution.patching.Estimates`; where they were asked for.
        estimated: names along E.
    """

    maps: Mapping[str, Tensor]
    kappa: Tensor
    gradient_l1: Tensor
    status: Tensor
    scores: Tensor
    region_px: Tensor
    prediction: Tensor
    rules: tuple[str, ...]
    organs: tuple[str, ...]
    score: str
    methods: Mapping[str, Rule | Method] = field(default_factory=dict)
    change: Tensor | None = None
    completeness_error: Tensor | None = None
    activation: str = SOFTMAX
    estimates: Tensor | None = None
    estimated: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """Names along S, in the order in which the caller named them."""
        return tuple(self.maps)

    @property
    def sites(self) -> tuple[str, ...]:
        """The same: names of stages, and behind them of edges."""
        return tuple(self.maps)

    @property
    def axes(self) -> int:
        """Of the image: 2 of slices, 3 of volumes."""
        return next(iter(self.maps.values())).ndim - 3

    def cpu(self) -> "Flow":
        """The same flow in main memory."""
        maps = {stage: tensor.cpu() for stage, tensor in self.maps.items()}
        moved: dict[str, Any] = {
            own.name: value.cpu()
            for own in fields(self)
            if isinstance(value := getattr(self, own.name), Tensor)
        }
        return replace(self, maps=maps, **moved)

    def __repr__(self) -> str:
        """A line, since the tensors would fill screens."""
        what = counted(self.prediction.shape[0], "volume" if self.axes > 2 else "slice")
        return (
            f"<Flow of {what}: sites {', '.join(self.sites)}; organs {', '.join(self.organs)}; "
            f"rules {', '.join(self.rules)}; maps[site] is (rule, organ, slice, *cells)>"
        )

    def _repr_html_(self) -> str:
        """Sites x organs, for a notebook: is there a map to read, and how coherent is it?"""
        organs = len(self.organs)
        return "".join([
            paragraph(f"Flow by {', '.join(self.rules)} of the {self.score}, "
                      + counted(self.prediction.shape[0], "volume" if self.axes > 2 else "slice")),
            table("site", self.organs,
                  [(site, " × ".join(map(str, maps.shape[3:])),
                    [self._in_short(s, o) for o in range(organs)])
                   for s, (site, maps) in enumerate(self.maps.items())]),
            paragraph("How many maps of the first rule may be read, with the coherence κ of their "
                      "gradient (mean), or why none may. Measures and pictures: segtrace.explain."),
        ])  # fmt: skip

    def _in_short(self, site: int, organ: int) -> Cell:
        """How many maps of the first rule are to be read, or why not, and their coherence."""
        status, kappa = self.status[site, 0, organ], self.kappa[site, organ]
        read = status == Status.OK
        if bool(read.any()):
            words = f"{int(read.sum())} ok · κ {float(kappa[read].nanmean()):.2f}"
            return Cell(words, share=float(read.double().mean()) / 4)
        return Cell(Status(int(status.min())).label, faint=True)

    def to_xarray(self, *, maps: bool = True) -> Dataset:
        """All that is in it, or all but the maps, with named axes.

        In the same memory where that is main memory.

        Axes: ``site``, ``rule``, ``organ``, ``slice``; ``row`` and ``column`` (in 3-D ``plane``
        before them, under a sigmoid ``channel``) of the prediction; those of the map of ``dec1``,
        in ``map_dec1``, are ``dec1_row`` and ``dec1_column``. ``status`` names its values in its
        attributes.

        Raises:
            InputError: xarray is not installed.
        """
        try:
            import xarray as xr
        except ModuleNotFoundError as error:
            raise InputError("named axes need xarray: pip install xarray") from error

        at = ("site", "organ", "slice")
        seen = ("slice", *("channel",) * (self.activation == SIGMOID))
        axes = {"kappa": at, "gradient_l1": at, "status": ("site", "rule", *at[1:]),
                "scores": at[1:], "region_px": at[1:], "change": at, "completeness_error": at,
                "prediction": (*seen, *_cells(self.prediction, len(seen)))}  # fmt: skip
        numbers = {name: (own, values.cpu()) for name, own in axes.items()
                   if (values := getattr(self, name)) is not None}  # fmt: skip
        signed = {
            f"map_{site}": (("rule", *at[1:], *_cells(values, 3, f"{site}_")), values.cpu())
            for site, values in self.maps.items()
            if maps
        }
        names = {"site": list(self.sites), "rule": list(self.rules), "organ": list(self.organs)}
        found = xr.Dataset(
            numbers | signed, names, {"score": self.score, "activation": self.activation}
        )
        meanings = " ".join(status.label for status in Status)
        found["status"].attrs = {"flag_values": [*map(int, Status)], "flag_meanings": meanings}
        return found


def _cells(values: Tensor, behind: int, prefix: str = "") -> list[str]:
    """Names of the axes behind so many others."""
    names = ("plane", "row", "column")[behind - values.ndim :]
    return [prefix + name for name in names]


KAPPA_DEGENERATE = 0.05
"""Below it the averaged gradient is residue."""


def worst(holds: Mapping[Status, Tensor], shape: Sequence[int], device: torch.device) -> Tensor:
    """(*shape) int8: the largest of the statuses that hold, ``OK`` where none does.

    Args:
        holds: status -> bool tensor that broadcasts to the shape.
        shape: of the result.
        device: of the result.
    """
    found = torch.full(shape, Status.OK, dtype=torch.int8, device=device)
    for status in sorted(holds):
        found[holds[status].to(device).expand(shape)] = status
    return found


def unnormalised(acts: Mapping[str, Tensor], scored: Tensor) -> frozenset[str]:
    """The stages from which some path to the score meets no instance normalisation.

    An instance normalisation subtracts every channel's mean, so the gradient in front of it has
    mean zero. Where all paths pass one, averaging rules draw the residue of the image border.
    """
    seen = set(walk(scored.grad_fn, stop=_is_instance_norm))
    return frozenset(name for name, activation in acts.items() if activation.grad_fn in seen)


def mixes_slices(scored: Tensor) -> bool:
    """Whether the score of a slice depends on the others through statistics of the batch."""
    return any(_on_own_statistics(node) and _slices(node) > 1 for node in walk(scored.grad_fn))


def _is_instance_norm(node: Any) -> bool:
    if "GroupNorm" in node.name():
        return bool(node._saved_group == node._saved_C)
    return _on_own_statistics(node) and _slices(node) == 1


def _on_own_statistics(node: Any) -> bool:
    # torch runs instance normalisation as batch normalisation of one slice with N · K channels.
    return "BatchNorm" in node.name() and bool(getattr(node, "_saved_training", False))


def _slices(node: Any) -> int:
    return int(node._saved_input.shape[0])


A_FLOW = guards.instance(Flow, "the result of segtrace.trace")
"""What stands where a flow is wanted."""
