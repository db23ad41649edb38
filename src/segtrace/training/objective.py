"""The loss that a network is trained on: Dice, and what stands beside it."""

from collections.abc import Mapping
from typing import Any

from monai.losses import DiceCELoss, DiceFocalLoss
from torch import Tensor

from segtrace.activation import SIGMOID
from segtrace.errors import InputError, unknown

BOTH, FOCAL = "dice_ce", "dice_focal"
ALONE: Mapping[str, float] = {"dice": 1.0, "ce": 0.0}
"""Of losses that are one term: the weight of the Dice."""
LOSSES = (BOTH, FOCAL, *ALONE)
Loss = DiceCELoss | DiceFocalLoss


class DiceBCELoss(DiceCELoss):
    """MONAI's, with binary cross-entropy of several channels too.

    MONAI's second term is a softmax's wherever there is more than one channel.
    """

    def ce(self, input: Tensor, target: Tensor) -> Tensor:
        """Mean over pixels and channels."""
        entropy: Tensor = self.bce(input, target)
        return entropy


def loss_of(activation: str, dice_weight: float | None = None, name: str = BOTH) -> Loss:
    """(logits, truth) -> loss.

    Args:
        activation: ``softmax``, of a truth (N, 1, *image) in channel numbers; ``sigmoid``, of masks
            (N, C, *image), of which the first is no background.
        dice_weight: of the Dice term where there are two; the other has the rest. ``None`` for 0.5,
            TransUNet's.
        name: one of :data:`LOSSES`.

    Raises:
        InputError: no such loss; a weight outside 0 to 1, or of a term that stands alone.
    """
    if name not in LOSSES:
        raise unknown("model.loss", name, LOSSES)
    if dice_weight is not None and name in ALONE:
        raise InputError(
            f"model.dice_weight={dice_weight}: model.loss={name} has one term; leave it out, or "
            f"say model.loss={BOTH}"
        )
    weight = ALONE.get(name, 0.5 if dice_weight is None else dice_weight)
    if not 0 <= weight <= 1:
        raise InputError(f"model.dice_weight={dice_weight}; give 0 to 1")
    alone = activation == SIGMOID
    of_dice: dict[str, Any] = {
        "to_onehot_y": not alone, "sigmoid": alone, "softmax": not alone,
        "squared_pred": True, "batch": True, "lambda_dice": weight,
    }  # fmt: skip
    if name == FOCAL:
        focal = DiceFocalLoss(**of_dice, lambda_focal=1 - weight)
        # MONAI's second term is a sigmoid's, whatever its first one is.
        focal.focal.use_softmax = not alone
        return focal
    return (DiceBCELoss if alone else DiceCELoss)(**of_dice, lambda_ce=1 - weight)
