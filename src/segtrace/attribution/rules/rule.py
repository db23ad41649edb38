"""A rule as an object: how it weighs, and what is said of it wherever it is shown."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from segtrace.attribution.rules.sums import weighted_sum
from segtrace.errors import InputError, shown
from segtrace.network import guards

Stride = tuple[float, ...]
"""Input pixels per cell along each axis."""
Weigh = Callable[[Tensor, Stride], Tensor]
"""(gradient (N, K, *cells), stride) -> weights, (N, K, *cells) or (N, K, 1, …, 1)."""
MapOf = Callable[[Tensor, Tensor], Tensor]
"""(activation, gradient) -> signed map (N, *cells)."""
Reference = Callable[[str, Tensor, slice], Tensor]
"""(site, activation (n, K, *cells), which of all slices these are) -> what it is held against."""


@guards.fields(
    name=guards.a_name,
    weigh=guards.a_function,
    title=guards.a_text,
    equation=guards.a_text,
    averages=guards.a_switch,
    reference=guards.optional(guards.a_function),
)
@dataclass(frozen=True)
class Rule:
    """A named way to weigh an activation, and what is said of it wherever it is shown.

    Attributes:
        name: how tables, tags and files call it.
        weigh: (gradient, stride) -> weights.
        title: how people call it.
        equation: for captions: its papers in words and what it computes.
        papers: keys of the bibliography.
        averages: whether it averages the gradient over all cells, which is void where that
            average vanishes by construction (status ``gap_degenerate``).
        reference: what a trace takes off the activation before it is weighed: the map is
            Σ_k weigh(G) ⊙ (A - reference); ``None`` for nothing.
    """

    name: str
    weigh: Weigh
    title: str = ""
    equation: str = ""
    papers: tuple[str, ...] = ()
    averages: bool = False
    reference: Reference | None = None

    @guards.held(guards.of_one_stage, activation=guards.a_tensor)
    def __call__(self, activation: Tensor, gradient: Tensor, stride: Stride = ()) -> Tensor:
        """The signed map (N, *cells); a stride that is not given is 1.

        Raises:
            InputError: a function of the user's that returns something else than weights.
        """
        weights: object = self.weigh(gradient, stride or (1.0,) * (gradient.ndim - 2))
        cells = tuple(gradient.shape[2:])
        for wanted in ((1,) * len(cells), cells):
            if isinstance(weights, Tensor) and weights.shape == (*gradient.shape[:2], *wanted):
                return weighted_sum(weights, activation)
        raise InputError(
            f"weigh of rule {self.name!r} returns {shown(weights)}; weights of the gradient's "
            f"shape {tuple(gradient.shape)}, or one a channel, are needed"
        )


@guards.fields(map=guards.a_function)
@dataclass(frozen=True)
class OwnRule(Rule):
    """A rule of the user's own, given as a function that need not be a weighing.

    Attributes:
        map: (activation, gradient) -> signed map.
    """

    map: MapOf = field(kw_only=True)

    @guards.held(guards.of_one_stage, activation=guards.a_tensor)
    def __call__(self, activation: Tensor, gradient: Tensor, stride: Stride = ()) -> Tensor:
        """The signed map (N, *cells).

        Raises:
            InputError: a function that returns something else.
        """
        found: object = self.map(activation, gradient)
        wanted = (activation.shape[0], *activation.shape[2:])
        if not isinstance(found, Tensor) or found.shape != wanted:
            raise InputError(f"rule {self.name!r} returns {shown(found)}; {wanted} is needed")
        return found


@dataclass(frozen=True)
class Method:
    """What is said, wherever they are shown, of maps that no rule makes.

    Attributes:
        name: how tables, tags and files call it.
        title: as of a :class:`Rule`, and so the rest.
        equation: its papers in words and what it computes.
        papers: keys of the bibliography.
        averages: whether it averages a gradient over all cells.
    """

    name: str
    title: str = ""
    equation: str = ""
    papers: tuple[str, ...] = ()
    averages: bool = False
