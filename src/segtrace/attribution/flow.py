"""The result of a trace: signed maps of every stage, frozen, with what qualifies them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:  # rules are guarded, and a guard knows what a flow is
    from segtrace.attribution.rules import Rule


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
    """Autograd's gradient at this stage is not the derivative (see ``describe``)."""
    DISCONNECTED = 5
    """The score does not depend on this stage."""
    ABSENT = 6
    """The region is empty: nothing to explain."""
    NONFINITE = 7
    """A NaN or an infinity in the activation, the gradient or the score."""

    @property
    def label(self) -> str:
        """The name used in tables and pictures, e.g. ``"gap_degenerate"``."""
        return self.name.lower()


@dataclass(frozen=True)
class Flow:
    """Signed evidence maps of every stage for every organ and slice.

    Nothing in it is resized, rectified or normalised. ``N`` slices, ``O`` organs, ``R`` rules,
    ``S`` stages.

    Attributes:
        maps: stage -> (R, O, N, h, w) signed map at the stage's own resolution.
        kappa: (S, O, N) coherence of the gradient, Σ_k|Σ_uv G| / Σ_k Σ_uv|G|, in [0, 1]; NaN
            where the gradient is zero everywhere.
        gradient_l1: (S, O, N) Σ|G| over channels and cells.
        status: (S, R, O, N) int8 values of :class:`Status`.
        scores: (O, N) the explained score Σ weights · φ(logits).
        region_px: (O, N) pixels of the logits whose weights are not all zero.
        prediction: (N, H, W) arg max of the logits over channels.
        rules: names along R.
        methods: name -> rule, with its equation and papers; empty where none is known.
        organs: names along O.
        score: φ, one of ``logit``, ``centered``, ``logprob``, ``prob``.
        change: (S, O, N) score minus score at the baseline; of ``integrate`` alone.
        completeness_error: (S, O, N) |Σ map - change| / |change|; of ``integrate`` alone.
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
    methods: Mapping[str, "Rule"] = field(default_factory=dict)
    change: Tensor | None = None
    completeness_error: Tensor | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """Names along S, in the order in which the caller named them."""
        return tuple(self.maps)

    def cpu(self) -> "Flow":
        """The same flow in main memory."""
        maps = {stage: tensor.cpu() for stage, tensor in self.maps.items()}
        moved: dict[str, Any] = {
            own.name: value.cpu()
            for own in fields(self)
            if isinstance(value := getattr(self, own.name), Tensor)
        }
        return replace(self, maps=maps, **moved)
