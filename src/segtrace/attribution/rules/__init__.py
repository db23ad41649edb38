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

from segtrace.attribution.rules.plain import (
    element_wise,
    global_average,
    grad_pam,
    layer_cam,
    positive_part,
    seg_grad_cam,
)
from segtrace.attribution.rules.rule import MapOf, Method, OwnRule, Reference, Rule, Stride, Weigh
from segtrace.attribution.rules.sums import pieces, weighted_sum
from segtrace.attribution.rules.table import RULES, by_name, resolve
from segtrace.attribution.rules.windowed import seg_xres_cam

__all__ = [
    "RULES", "MapOf", "Method", "OwnRule", "Reference", "Rule", "Stride", "Weigh", "by_name",
    "element_wise", "global_average", "grad_pam", "layer_cam", "pieces", "positive_part",
    "resolve", "seg_grad_cam", "seg_xres_cam", "weighted_sum",
]  # fmt: skip
