"""The Dice coefficient, the one formula that all counts go through."""

import torch
from torch import Tensor


def dice(both: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """Hard Dice 2|P ∩ T| / (|P| + |T|) of counts; NaN where the truth is empty.

    An organ that is absent from the truth says nothing about how well it is found; a false organ
    shows in the tables as predicted voxels.

    Args:
        both: |P ∩ T|, any shape.
        predicted: |P|.
        true: |T|.

    >>> dice(torch.tensor([3.0, 0.0]), torch.tensor([4.0, 9.0]), torch.tensor([4.0, 0.0]))
    tensor([0.7500,    nan])
    """
    return torch.where(true > 0, 2 * both / (predicted + true), torch.nan)
