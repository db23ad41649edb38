"""Rules: what weighs the activation of a stage, so that its weighted sum is a signed map.

Every rule is Σ_k weigh(G)_k ⊙ A^k (Eq. 1 of Hasany et al. 2023 without its ReLU), with the
activation A and the gradient G = ∂S/∂A, both ``(N, K, *cells)``: N slices, K channels, the cells of
one stage in one, two or three dimensions. The result is ``(N, *cells)``, raw and signed:
rectifying, resizing and scaling belong to whoever draws. What else is said of a rule, its equation,
its papers, whether it averages, stands with it and is read off it. A rule of the user's own is a
:class:`Rule`, or a plain function (activation, gradient) -> map.

Which rule? ``seg_grad_cam`` is the paper's and follows evidence through the stages; ``grad_pam``
keeps the place and tells two instances of an organ apart; ``seg_xres_cam`` lies between the two.
All three are linear in the region and do not move when channels are rescaled, which weights do at
every step of a training. Left out on purpose, because they fail that: Grad-CAM++ (weights from
powers of the gradient, made for exp(class score); not linear, changes with the logits' scale and
when a channel is split in two) and XGrad-CAM (divides by Σ A^k, which normalised or leaky
activations bring near zero).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from segtrace.attribution.windows import TILINGS
from segtrace.errors import InputError, shown, unknown
from segtrace.network import guards

Stride = tuple[float, ...]
"""Input pixels per cell along each axis."""
Weigh = Callable[[Tensor, Stride], Tensor]
"""(gradient (N, K, *cells), stride) -> weights, (N, K, *cells) or (N, K, 1, …, 1)."""
MapOf = Callable[[Tensor, Tensor], Tensor]
"""(activation, gradient) -> signed map (N, *cells)."""
Reference = Callable[[str, Tensor, slice], Tensor]
"""(site, activation (n, K, *cells), which of all slices these are) -> what it is held against."""

PIECE = 2**18
"""Numbers that are gone through at once."""

_PAPER = "Hasany, Mériaudeau and Petitjean, The Do's and Don'ts of Grad-CAM in Image Segmentation"
_GRADIENT = "G_k = ∂ Σ_(i,j)∈M y_ij / ∂A_k"


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


def weighted_sum(weights: Tensor, activation: Tensor) -> Tensor:
    """Σ_k w_k ⊙ A^k, the sum of Eq. 1: (N, K, *cells) -> (N, *cells).

    Args:
        weights: (N, K, *cells), or (N, K, 1, …, 1): one a channel.
        activation: (N, K, *cells).
    """
    if weights[0, 0].numel() == 1:  # as one matrix product a slice: twice as fast
        product = torch.bmm(weights.flatten(2).mT, activation.flatten(2))  # (N, 1, cells)
        return product[:, 0].unflatten(1, activation.shape[2:])
    both = pieces(activation.ndim - 2, weights, activation)
    return torch.cat([(w * a).sum(1) for w, a in both], 1)


def pieces(axes: int, *fields: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Fields (…, *cells) along their first axis of cells, in pieces that a processor's cache holds.

    What is made of a large tensor as a whole is written to memory that the system first has to
    give, and clear: of volumes that takes four times as long as the sums themselves.

    Args:
        axes: of cells, the last ones.
        fields: as many cells along the first of them.
    """
    row = max(field.numel() // max(1, field.shape[-axes]) for field in fields)
    size = max(1, PIECE // max(1, row))
    return zip(*(field.split(size, -axes) for field in fields), strict=True)


def global_average(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """Seg-Grad-CAM's weights, α_k = GAP(∂S/∂A^k), (N, K, 1, …, 1): Eq. 3 of Hasany et al. 2023.

    With S = Σ_(i,j)∈M y_ij (see :mod:`segtrace.attribution.targets`). Plain Grad-CAM (Selvaraju et
    al. 2017, Eq. 2) is the same on the region ``all``, and on the logits of a classifier. The ReLU
    of Eq. 1 is left to the reader of the map, who may want the evidence against the organ as well.

    Do use it to follow evidence from stage to stage. Do not read it as a saliency map: the average
    forgets where the gradient was, so a place can light up that cannot influence the region, and
    two instances of an organ get the same map. Do not use it behind InstanceNorm, which makes α
    vanish (kappa, status ``gap_degenerate``). At the last stages it draws the logits: at the
    logits themselves it is (|M| / N) y^c exactly, whatever the region M.

    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> global_average(gradient).flatten().tolist()
    [1.0, 0.0]
    >>> seg_grad_cam(activation, gradient)
    tensor([[1., 2., 3., 4.]])
    """
    return gradient.mean(tuple(range(2, gradient.ndim)), keepdim=True)


def element_wise(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """G itself, the weights of Grad-PAM (Wan et al. 2020; the same as HiResCAM).

    Keeps the place of the gradient: two instances of one organ get two maps, and no cell lights up
    whose gradient is zero. The map's sum is the score where what follows is linear without biases.
    Near the output it lies inside the region by construction, even in an untrained network ("region
    echo"), so its localisation there is no evidence: compare with epoch 0.

    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> grad_pam(activation, gradient)
    tensor([[1., 7., 1., 0.]])
    """
    return gradient


def positive_part(gradient: Tensor, stride: Stride = ()) -> Tensor:
    """ReLU(G), the weights of LayerCAM (Jiang et al. 2021).

    Sharp at shallow stages, so good to look at. It drops the evidence against the organ and is
    not linear in the region: not for numbers over epochs.

    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> layer_cam(activation, gradient)
    tensor([[1., 7., 3., 0.]])
    """
    return gradient.relu()


seg_grad_cam = Rule(
    "seg_grad_cam",
    global_average,
    title="Seg-Grad-CAM",
    equation="Seg-Grad-CAM (Vinogradova et al., 2020): L = ReLU(Σ_k α_k A_k) with "
    f"α_k = GAP(∂ Σ_(i,j)∈M y_ij / ∂A_k), Eq. 1 and 3 of {_PAPER}",
    papers=("vinogradova2020", "selvaraju2017"),
    averages=True,
)
grad_pam = Rule(
    "grad_pam",
    element_wise,
    title="Grad-PAM",
    equation="Seg-Grad-CAM with element-wise weights (Grad-PAM, Wan et al., 2020): "
    f"L = ReLU(Σ_k G_k ⊙ A_k) with {_GRADIENT}",
    papers=("wan2020", "draelos2020"),
)
layer_cam = Rule(
    "layer_cam",
    positive_part,
    title="LayerCAM",
    equation="LayerCAM (Jiang et al., 2021) with a segmentation score: "
    f"L = ReLU(Σ_k ReLU(G_k) ⊙ A_k) with {_GRADIENT}",
    papers=("jiang2021",),
)


@guards.held(mode=guards.a_name, unit=guards.a_name, tiling=guards.a_name)
def seg_xres_cam(
    window: int = 2,
    mode: Literal["mean", "max"] = "mean",
    unit: Literal["cells", "pixels"] = "cells",
    tiling: Literal["blocks", "authors"] = "blocks",
) -> Rule:
    """Seg-XRes-CAM, Σ_k Pool_w(∂S/∂A^k) ⊙ A^k (Hasany et al. 2023b), as a rule.

    Between the two others: window 1 is ``grad_pam``, a mean window that covers the stage is
    ``seg_grad_cam``. The gradient is pooled in blocks of w cells and each block's value stands in
    all of its cells. Where the window does not divide the stage, the two ways of tiling differ:

    * ``blocks``: blocks at the far edges may be smaller; their mean is over the cells that are
      there, and each cell keeps the value of the block it lies in.
    * ``authors``: as the program of Hasany et al. computes it, to compare with published maps.
      The far edges are padded with zeros, and the pooled grid is stretched over the stage, so
      that a cell can get the value of a block it does not lie in (at 7 x 7, the bottleneck of
      224 pixels, with windows of 2 the maps' cosine to those of ``blocks`` is some 0.6); a
      window larger than the stage is no ``seg_grad_cam``.

    Do use ``mean`` and ``pixels``, which look through windows of one size at every stage. Do not
    use ``max`` for numbers: it is not linear in the region, and one cell's gradient multiplies
    its neighbours' activations. Blocks are fixed to the grid: maps do not move along with an
    image that moves by less than a window.

    Args:
        window: side of the blocks.
        mode: ``mean`` or ``max`` over a block.
        unit: whether ``window`` counts cells of the stage or pixels of the input, the latter
            rounded to at least one cell.
        tiling: ``blocks`` or ``authors``, see above.

    Raises:
        InputError: a window below 1, an unknown mode, unit or tiling.

    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> seg_xres_cam(2)(activation, gradient)
    tensor([[3.5000, 4.5000, 0.5000, 1.5000]])
    """
    if not isinstance(window, int) or window < 1:
        raise InputError(f"the window of seg_xres_cam is {window!r}; give a whole number from 1")
    for option, given, allowed in (
        ("mode", mode, ("mean", "max")),
        ("unit", unit, ("cells", "pixels")),
        ("tiling", tiling, TILINGS),
    ):
        if given not in allowed:
            raise unknown(f"{option} of seg_xres_cam", given, allowed)

    def pooled(gradient: Tensor, stride: Stride) -> Tensor:
        side = [window if unit == "cells" else max(1, round(window / s)) for s in stride]
        return TILINGS[tiling](gradient, side, mode)

    authors = tiling == "authors"
    suffix = "_max" * (mode == "max") + "px" * (unit == "pixels") + "_authors" * authors
    return Rule(
        f"seg_xres_cam_{window}{suffix}",
        pooled,
        title=f"Seg-XRes-CAM, {mode} of {window} {unit}" + ", the authors' tiling" * authors,
        equation="Seg-XRes-CAM (Hasany et al., 2023): L = ReLU(Σ_k P(G_k) ⊙ A_k) with "
        f"{_GRADIENT} pooled over windows by P, here the {mode} of {window} x {window} {unit}"
        + ", padded and stretched as in the authors' program"
        * authors,
        papers=("hasany2023",),
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


RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (seg_grad_cam, grad_pam, replace(seg_xres_cam(), name="seg_xres_cam"), layer_cam)
}
"""The rules asked for by name; ``seg_xres_cam`` is the one with mean windows of 2 cells."""
_WINDOWED = re.compile(r"seg_xres_cam_(\d+)(_max)?(px)?(_authors)?")


def by_name(names: Iterable[str]) -> dict[str, Rule]:
    """Name -> rule of those that are ours, as tables and files name them; others are left out.

    >>> [rule.title for rule in by_name(["grad_pam", "seg_xres_cam_4_max", "mine"]).values()]
    ['Grad-PAM', 'Seg-XRes-CAM, max of 4 cells']
    """
    found = {name: _by_name(name) for name in names}
    return {name: rule for name, rule in found.items() if rule is not None}


def _by_name(name: str) -> Rule | None:
    if windowed := _WINDOWED.fullmatch(name):
        window, largest, pixels, authors = windowed.groups()
        return seg_xres_cam(
            int(window),
            "max" if largest else "mean",
            "pixels" if pixels else "cells",
            "authors" if authors else "blocks",
        )
    return RULES.get(name)


@guards.held()
def resolve(rules: Iterable[str | Rule | MapOf] | str | Rule | MapOf) -> tuple[Rule, ...]:
    """The rules meant by names, by :class:`Rule` objects, by functions, or by a mixture.

    Raises:
        InputError: an unknown name, the same name twice, or no rule at all.
    """
    several = [rules] if isinstance(rules, str) or callable(rules) else list(rules)
    found = [_rule(rule) for rule in several]
    names = [rule.name for rule in found]
    if not names or len(set(names)) < len(names):
        raise InputError(f"rules are {names}; give at least one, each once")
    return tuple(found)


def _rule(rule: str | Rule | MapOf) -> Rule:
    if isinstance(rule, Rule):
        return rule
    guards.a_rule("a rule", rule)
    if callable(rule):
        function = getattr(rule, "func", rule)  # of a partial, which has no name
        name = getattr(function, "__name__", type(rule).__name__)
        return OwnRule(name, element_wise, map=rule)
    found = _by_name(rule)
    if found is None:
        raise unknown("rule", rule, RULES)
    return found
