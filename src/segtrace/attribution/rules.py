"""Rules: pure functions (activation, gradient) -> signed map.

Both arguments are ``(N, K, *cells)``: N slices, K channels, the cells of one stage in one, two or
three dimensions. The result is ``(N, *cells)``, raw and signed: rectifying, resizing and scaling
belong to whoever draws.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from segtrace.errors import InputError, unknown


@dataclass(frozen=True)
class Rule:
    """A named rule.

    Attributes:
        name: how tables, tags and files call it.
        map: (activation, gradient) -> signed map, see the module's docstring.
        averages: whether it averages the gradient over the cells, which is void where that
            average vanishes by construction (status ``gap_degenerate``).
    """

    name: str
    map: Callable[[Tensor, Tensor], Tensor]
    averages: bool = False


def seg_grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Seg-Grad-CAM, Σ_k α_k A^k with α_k = GAP(∂S/∂A^k): Eq. 1 and 3 of Hasany et al. 2023.

    Plain Grad-CAM is this rule on the region ``all``. The ReLU of Eq. 1 is left to the reader of
    the map, who may want the evidence against the organ as well.

    Do use it to follow evidence from stage to stage; do not read it as a saliency map: the average
    forgets where the gradient was, so a place can light up that cannot influence the region.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> seg_grad_cam(activation, gradient)
    tensor([[1., 2., 3., 4.]])
    """
    cells = tuple(range(2, gradient.ndim))
    weights = gradient.mean(cells, keepdim=True)  # (N, K, 1, 1)
    return (weights * activation).sum(1)


def grad_pam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Grad-PAM, Σ_k ∂S/∂A^k ⊙ A^k element by element (Wan et al. 2020; the same as HiResCAM).

    Keeps the place of the gradient: two regions of one organ get two maps. Near the output it
    lies inside the region by construction, even in an untrained network ("region echo"), so its
    localisation there is no evidence.

    >>> import torch
    >>> activation = torch.tensor([[[1.0, 2, 3, 4], [4, 3, 2, 1]]])
    >>> gradient = torch.tensor([[[1.0, 2, 1, 0], [0, 1, -1, 0]]])
    >>> grad_pam(activation, gradient)
    tensor([[1., 7., 1., 0.]])
    """
    return (gradient * activation).sum(1)


RULES: Mapping[str, Rule] = {
    "seg_grad_cam": Rule("seg_grad_cam", seg_grad_cam, averages=True),
    "grad_pam": Rule("grad_pam", grad_pam),
}


def resolve(rules: Iterable[str | Rule]) -> tuple[Rule, ...]:
    """The rules meant by names, by :class:`Rule` objects, or by a mixture.

    Raises:
        InputError: an unknown name, the same name twice, or no rule at all.
    """
    if isinstance(rules, str | Rule):
        rules = (rules,)
    found = []
    for rule in rules:
        if not isinstance(rule, Rule):
            if rule not in RULES:
                raise unknown("rule", rule, RULES)
            rule = RULES[rule]
        found.append(rule)
    names = [rule.name for rule in found]
    if not names or len(set(names)) < len(names):
        raise InputError(f"rules are {names}; give at least one, each once")
    return tuple(found)
