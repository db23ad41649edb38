"""The loss of classes is MONAI's, and that of every channel for itself by hand."""

import math

import pytest
import torch
from monai.losses import DiceCELoss

from segtrace import InputError
from segtrace.training.objective import LOSSES, loss_of

LOGITS = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0)).double()
MASKS = (torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(1)) > 0.5).double()


def test_behind_a_softmax_it_is_monais():
    labels = torch.randint(0, 3, (2, 1, 5, 4), generator=torch.Generator().manual_seed(2))
    theirs = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, batch=True,
                        lambda_dice=0.3, lambda_ce=0.7)  # fmt: skip
    assert loss_of("softmax", 0.3)(LOGITS, labels) == theirs(LOGITS, labels)


def test_half_and_half_it_is_transunets_in_their_own_terms():
    """Cross-entropy, and Dice over the batch with squares, of every class: the background too."""
    logits = torch.randn(3, 9, 6, 5, generator=torch.Generator().manual_seed(3)).double()
    labels = torch.randint(0, 7, (3, 1, 6, 5), generator=torch.Generator().manual_seed(4))
    entropy, overlaps = 0.0, []
    squares = [[0.0, 0.0, 0.0] for _ in range(9)]
    for n in range(3):
        for y in range(6):
            for x in range(5):
                powers = [math.exp(float(logits[n, c, y, x])) for c in range(9)]
                true = int(labels[n, 0, y, x])
                entropy -= math.log(powers[true] / sum(powers)) / (3 * 6 * 5)
                for c in range(9):
                    p, t = powers[c] / sum(powers), float(c == true)
                    for place, part in enumerate((p * t, t * t, p * p)):
                        squares[c][place] += part
    for both, true, found in squares:  # classes 7 and 8 are nowhere in the truth
        overlaps.append(1 - (2 * both + 1e-5) / (found + true + 1e-5))
    expected = 0.5 * entropy + 0.5 * sum(overlaps) / 9
    assert float(loss_of("softmax", 0.5)(logits, labels)) == pytest.approx(
        expected,
        abs=1e-7,  # MONAI sums truth in float32
    )


def test_one_channel_behind_a_sigmoid_is_monais_too():
    theirs = DiceCELoss(sigmoid=True, squared_pred=True, batch=True,
                        lambda_dice=0.3, lambda_ce=0.7)  # fmt: skip
    one = LOGITS[:, :1], MASKS[:, :1]
    assert loss_of("sigmoid", 0.3)(*one) == theirs(*one)


def test_of_several_behind_a_sigmoid_each_is_lost_by_itself():
    found = loss_of("sigmoid", 0.3)(LOGITS, MASKS)
    each = [loss_of("sigmoid", 0.3)(LOGITS[:, k : k + 1], MASKS[:, k : k + 1]) for k in range(3)]
    torch.testing.assert_close(found, torch.stack(each).mean())
    p = 1 / (1 + (-LOGITS).exp())
    entropy = -(MASKS * p.log() + (1 - MASKS) * (1 - p).log()).mean()
    over = (0, 2, 3)
    dice = 1 - (2 * (p * MASKS).sum(over) + 1e-5) / ((p**2 + MASKS).sum(over) + 1e-5)
    assert float(found) == pytest.approx(float(0.3 * dice.mean() + 0.7 * entropy), rel=1e-6)


def by_hand(p, masks, name, weight=0.5):
    """The loss of probabilities (N, C, h, w), by loops over channels and pixels."""
    dice, entropy, focal = [], [], []
    for k in range(p.shape[1]):
        each, true = p[:, k].flatten().tolist(), masks[:, k].flatten().tolist()
        both = sum(a * b for a, b in zip(each, true, strict=True))
        sizes = sum(a * a for a in each) + sum(b * b for b in true)
        dice.append(1 - (2 * both + 1e-5) / (sizes + 1e-5))
        for a, b in zip(each, true, strict=True):
            right = a if b else 1 - a
            entropy.append(-math.log(right))
            focal.append(-((1 - right) ** 2) * math.log(right))
    of_true = [
        -math.log(a) for a, b in zip(p.flatten().tolist(), masks.flatten(), strict=True) if b
    ]
    exclusive = float((p.sum(1) - 1).abs().max()) < 1e-9
    if exclusive:  # each pixel has one true class, and only that counts
        entropy = of_true
        focal = [-((1 - math.exp(-a)) ** 2) * -a for a in of_true]
        focal += [0] * (p.numel() - len(focal))  # the mean is over pixels and channels
    mean = [sum(values) / len(values) for values in (dice, entropy, focal)]
    shares = {"dice": (1, 0, 0), "ce": (0, 1, 0)}
    shares["dice_ce"], shares["dice_focal"] = (weight, 1 - weight, 0), (weight, 0, 1 - weight)
    return sum(share * value for share, value in zip(shares[name], mean, strict=True))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_every_loss_is_that_of_a_loop_over_pixels(activation, name):
    weight = 0.3 if name.startswith("dice_") else None
    if activation == "softmax":
        truth = torch.randint(0, 3, (2, 1, 5, 4), generator=torch.Generator().manual_seed(2))
        masks = torch.cat([truth == k for k in range(3)], 1).double()
        p = LOGITS.exp() / LOGITS.exp().sum(1, keepdim=True)
    else:
        truth, masks, p = MASKS, MASKS, 1 / (1 + (-LOGITS).exp())
    found = loss_of(activation, weight, name)(LOGITS, truth)
    assert float(found) == pytest.approx(by_hand(p, masks, name, 0.3), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, "dise"), "no model.loss 'dise'; .*did you mean dice"),
        ((0.3, "ce"), "dice_weight=0.3: model.loss=ce has one term; leave it out"),
        ((1.5, "dice_focal"), "model.dice_weight=1.5; give 0 to 1"),
    ],
)
def test_a_loss_that_there_is_not_and_a_weight_of_no_term_are_one_line(given, message):
    with pytest.raises(InputError, match=message):
        loss_of("softmax", *given)
