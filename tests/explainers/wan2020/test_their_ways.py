"""SegNBDT's Grad-PAM of a pixel, of its component and of all that is predicted, pixel by pixel.

Logits are coarser than the image, and enlarged to it by nearest neighbour before anything is asked.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

import segtrace
from helpers import nets
from segtrace.attribution import targets

SIDE = 16
NET = nets.stirred(
    lambda: nn.Sequential(nn.Conv2d(1, 5, 3, stride=2, padding=1), nn.ReLU(),
                          nn.Conv2d(5, 3, 3, stride=2, padding=1))
)  # fmt: skip
X = nets.images(1, SIDE)


def enlarged(logits):
    return interpolate(logits, size=(SIDE, SIDE))


def component(found, row, column):
    """Pixels that are joined to one by their sides."""
    seen, todo = set(), [(row, column)]
    while todo:
        i, j = todo.pop()
        if (i, j) in seen or not (0 <= i < SIDE and 0 <= j < SIDE) or not found[i, j]:
            continue
        seen.add((i, j))
        todo += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
    return seen


@pytest.mark.parametrize("way", ["pixel", "component", "all_pred"])
def test_maps_equal_gradients_of_logits_that_are_picked_one_by_one(way):
    a = NET[:2](X).detach().requires_grad_()
    y = enlarged(NET[2](a))
    assert tuple(y.shape[2:]) == (SIDE, SIDE)
    labels = y[0].argmax(0)
    row, column = next(
        at for at in torch.ones(SIDE, SIDE).nonzero().tolist() if labels[*at] == labels.mode()[0][0]
    )
    c = int(labels[row, column])
    picked = {
        "pixel": {(row, column)},
        "component": component(labels == c, row, column),
        "all_pred": {(i, j) for i in range(SIDE) for j in range(SIDE)},
    }[way]
    weights = torch.zeros_like(y)
    for i, j in picked:
        weights[0, labels[i, j], i, j] = 1
    (g,) = torch.autograd.grad(y, a, weights)
    region = way if way == "all_pred" else f"{way}:{row}:{column}"
    flow = segtrace.trace(
        NET, {"enc": "1"}, X, targets.organ(c, region), ["grad_pam"], output=enlarged
    )
    torch.testing.assert_close(flow.maps["enc"][0, 0, 0], (g * a)[0].sum(0).detach())
    assert int(flow.region_px[0, 0]) == len(picked)
    assert way == "all_pred" or len(picked) < SIDE * SIDE
