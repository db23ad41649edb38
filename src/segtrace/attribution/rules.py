"""Rules: pure functions (activation, gradient) -> signed map.

Both arguments are ``(N, K, *cells)``: N slices, K channels, the cells of one stage in one, two or
three dimensions. The result is ``(N, *cells)``, raw and signed: rectifying, resizing and scaling
belong to whoever draws. A rule of the user's own is such a function, given as it is or as a
:class:`Rule` with a name.

Which rule? ``seg_grad_cam`` is the paper's and follows evidence through the stages; ``grad_pam``
keeps the place and tells two instances of an organ apart; ``seg_xres_cam`` lies between the two.
All three are linear in the region and do not move when channels are rescaled, which weights do at
every step of a training. Left out on purpose, because they fail that: Grad-CAM++ (weights from
powers of the gradient, made for exp(class score); not linear, changes with the logits' scale and
when a channel is split in two) and XGrad-CAM (divides by Σ A^k, which normalised or leaky
activations bring near zero).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from segtrace.attribution import guards
from segtrace.errors import InputError, shown, unknown

MapOf = Callable[[Tensor, Tensor], Tensor]
MapOfStride = Callable[[Tensor, Tensor, tuple[float, ...]], Tensor]


@guards.fields(
    name=guards.a_name,
    map=guards.a_function,
    averages=guards.a_switch,
    of_mean=guards.a_function_or_none,
    strided=guards.a_switch,
)
@dataclass(frozen=True)
class Rule:
    """A named rule.

    Attributes:
        name: how tables, tags and files call it.
        map: (activation, gradient) -> signed map, see the module's docstring.
        averages: whether it averages the gradient over all cells, which is void where that
            average vanishes by construction (status ``gap_degenerate``).
        of_mean: the same map from (activation, mean gradient (N, K)), for rules that need no more
            of the gradient: the mean is taken once, for them and for kappa.
        strided: whether ``map`` takes the stage's stride as third argument: input pixels per cell
            along each axis.
    """

    name: str
    map: MapOf | MapOfStride
    averages: bool = False
    of_mean: MapOf | None = None
    strided: bool = False

    def __call__(self, activation: Tensor, gradient: Tensor, stride: tuple[float, ...]) -> Tensor:
        """The signed map (N, *cells).

        Raises:
            InputError: a function of the user's that returns something else.
        """
        more = (stride,) if self.strided else ()
        found: object = self.map(activation, gradient, *more)
        wanted = (activation.shape[0], *activation.shape[2:])
        if not isinstance(found, Tensor) or found.shape != wanted:
            raise InputError(f"rule {self.name!r} returns {shown(found)}; {wanted} is needed")
        return found


@guards.held(guards.of_one_stage)
def seg_grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Seg-Grad-CAM, Σ_k α_k A^k with α_k = GAP(∂S/∂A^k): Eq. 1 and 3 of Hasany et al. 2023.

    Plain Grad-CAM (Selvaraju et al. 2017) is this rule on the region ``all``. The ReLU of Eq. 1 is
    left to the reader of the map, who may want the evidence against the organ as well.

    Do use it to follow evidence from stage to stage. Do not read it as a saliency map: the average
    forgets where the gradient was, so a place can light up that cannot influence the region, and
    two instances of an organ get the same map. Do not use it behind InstanceNorm, which makes α
    vanish (kappa, status ``gap_degenerate``). At the last stages it draws the logits: at the
    logits themselves it is (|M| / N) y^c exactly, whatever the region M.

    Args:
        activation: (N, K, *cells).
        gradient: (N, K, *cells).

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> seg_grad_cam(activation, gradient)
    tensor([[1., 2., 3., 4.]])
    """
    return weighted_sum(activation, gradient.mean(_cells(gradient)))


def weighted_sum(activation: Tensor, weights: Tensor) -> Tensor:
    """Σ_k α_k A^k of α (N, K), Eq. 1 without its ReLU, as one matrix product a slice."""
    product = torch.bmm(weights[:, None], activation.flatten(2))  # (N, 1, cells)
    return product[:, 0].unflatten(1, activation.shape[2:])


@guards.held(guards.of_one_stage)
def grad_pam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-PAM, Σ_k ∂S/∂A^k ⊙ A^k element by element (Wan et al. 2020; the same as HiResCAM).

    Keeps the place of the gradient: two instances of one organ get two maps, and no cell lights up
    whose gradient is zero. Its sum is the score where what follows is linear without biases. Near
    the output it lies inside the region by construction, even in an untrained network ("region
    echo"), so its localisation there is no evidence: compare with epoch 0.

    Args:
        activation: (N, K, *cells).
        gradient: (N, K, *cells).

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> grad_pam(activation, gradient)
    tensor([[1., 7., 1., 0.]])
    """
    return (gradient * activation).sum(1)


@guards.held(guards.of_one_stage)
def layer_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM, Σ_k ReLU(∂S/∂A^k) ⊙ A^k (Jiang et al. 2021).

    Sharp at shallow stages, so good to look at. It drops the evidence against the organ and is
    not linear in the region: not for numbers over epochs.

    Args:
        activation: (N, K, *cells).
        gradient: (N, K, *cells).

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> layer_cam(activation, gradient)
    tensor([[1., 7., 3., 0.]])
    """
    return (gradient.relu() * activation).sum(1)


@guards.held(mode=guards.a_name, unit=guards.a_name)
def seg_xres_cam(
    window: int = 2,
    mode: Literal["mean", "max"] = "mean",
    unit: Literal["cells", "pixels"] = "cells",
) -> Rule:
    """Seg-XRes-CAM, Σ_k Pool_w(∂S/∂A^k) ⊙ A^k (Hasany et al. 2023b), as a rule.

    Between the two others: window 1 is ``grad_pam``, a mean window that covers the stage is
    ``seg_grad_cam``. The gradient is pooled in blocks of w cells and each block's value stands in
    all of its cells. Blocks at the far edges may be smaller; their mean is over the cells that
    are there, and each cell keeps the value of the block it lies in. (The authors' code pads
    those blocks with zeros and stretches the pooled grid instead; where the window divides the
    stage both are the same.)

    Do use ``mean`` and ``pixels``, which look through windows of one size at every stage. Do not
    use ``max`` for numbers: it is not linear in the region, and one cell's gradient multiplies
    its neighbours' activations. Blocks are fixed to the grid: maps do not move along with an
    image that moves by less than a window.

    Args:
        window: side of the blocks.
        mode: ``mean`` or ``max`` over a block.
        unit: whether ``window`` counts cells of the stage or pixels of the input, the latter
            rounded to at least one cell.

    Raises:
        InputError: a window below 1, an unknown mode or unit.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> seg_xres_cam(2)(activation, gradient, stride=(1,))
    tensor([[3.5000, 4.5000, 0.5000, 1.5000]])
    """
    if not isinstance(window, int) or window < 1:
        raise InputError(f"the window of seg_xres_cam is {window!r}; give a whole number from 1")
    if mode not in ("mean", "max"):
        raise unknown("mode of seg_xres_cam", mode, ("mean", "max"))
    if unit not in ("cells", "pixels"):
        raise unknown("unit of seg_xres_cam", unit, ("cells", "pixels"))

    def pooled(activation: Tensor, gradient: Tensor, stride: tuple[float, ...]) -> Tensor:
        side = [window if unit == "cells" else max(1, round(window / s)) for s in stride]
        return (in_blocks(gradient, side, mode) * activation).sum(1)

    suffix = ("" if mode == "mean" else "_max") + ("px" if unit == "pixels" else "")
    return Rule(f"seg_xres_cam_{window}{suffix}", pooled, strided=True)


def in_blocks(gradient: Tensor, side: Iterable[int], mode: str) -> Tensor:
    """(N, K, *cells) with every cell replaced by the mean or max of the block it lies in."""
    cells = gradient.shape[2:]
    kernel = tuple(min(s, size) for s, size in zip(side, cells, strict=True))
    pool = getattr(nn.functional, f"{'avg' if mode == 'mean' else 'max'}_pool{len(cells)}d")
    blocks: Tensor = pool(gradient, kernel, ceil_mode=True)
    for axis, (size, k) in enumerate(zip(cells, kernel, strict=True), 2):
        block = torch.arange(size, device=gradient.device) // k
        blocks = blocks.index_select(axis, block)
    return blocks


def _cells(tensor: Tensor) -> tuple[int, ...]:
    return tuple(range(2, tensor.ndim))


RULES: Mapping[str, Rule] = {
    "seg_grad_cam": Rule("seg_grad_cam", seg_grad_cam, averages=True, of_mean=weighted_sum),
    "grad_pam": Rule("grad_pam", grad_pam),
    "seg_xres_cam": Rule("seg_xres_cam", seg_xres_cam().map, strided=True),
    "layer_cam": Rule("layer_cam", layer_cam),
}
"""The rules asked for by name; ``seg_xres_cam`` is the one with mean windows of 2 cells."""


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
        return Rule(getattr(rule, "__name__", type(rule).__name__), rule)
    if rule not in RULES:
        raise unknown("rule", rule, RULES)
    return RULES[rule]
