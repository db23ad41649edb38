"""The loss that a network is trained on: Dice and cross-entropy, of classes or of every channel."""

from monai.losses import DiceCELoss
from torch import Tensor

from segtrace.activation import SIGMOID


class DiceBCELoss(DiceCELoss):
    """MONAI's, with binary cross-entropy of several channels too.

    MONAI's second term is a softmax's wherever there is more than one channel.
    """

    def ce(self, input: Tensor, target: Tensor) -> Tensor:
        """Mean over pixels and channels."""
        entropy: Tensor = self.bce(input, target)
        return entropy


def loss_of(activation: str, dice_weight: float) -> DiceCELoss:
    """(logits, truth) -> loss.

    Args:
        activation: ``softmax``, of a truth (N, 1, *image) in channel numbers; ``sigmoid``, of masks
            (N, C, *image), of which the first is no background.
        dice_weight: of the Dice term; cross-entropy has the rest.
    """
    alone = activation == SIGMOID
    return (DiceBCELoss if alone else DiceCELoss)(
        to_onehot_y=not alone,
        sigmoid=alone,
        softmax=not alone,
        squared_pred=True,
        batch=True,
        lambda_dice=dice_weight,
        lambda_ce=1 - dice_weight,
    )
