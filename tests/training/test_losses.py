import pytest
import torch

from segtrace.training.losses import Losses


def test_the_mean_is_over_the_steps_whatever_they_return():
    losses = Losses()
    assert losses.mean() is None
    for outputs in ({"loss": torch.tensor(1.0)}, torch.tensor([2.0]), {"loss": torch.tensor(4.5)}):
        losses.add(outputs)
    assert losses.mean() == pytest.approx(2.5)


@pytest.mark.parametrize("outputs", [None, {}, {"loss": None}, torch.zeros(3)])
def test_what_holds_no_loss_is_not_counted(outputs):
    losses = Losses()
    losses.add(outputs)
    assert losses.mean() is None
