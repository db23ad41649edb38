"""Weights that are NaN are named."""

import torch

from segtrace.network.lost import lost_told


def test_the_first_lost_weight_is_named_and_what_becomes_of_the_maps():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    assert lost_told(net) is None
    net[0].weight.data[0, 0, 0, 0] = torch.nan
    said = lost_told(net, " at epoch 3")
    assert said.startswith("weights 0.weight hold NaN or infinity at epoch 3: the network explains")
    assert "status nonfinite" in said
    net[1].running_var[0] = torch.inf
    assert lost_told(net).startswith("weights 0.weight and 1 more hold")
