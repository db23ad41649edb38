"""Predictions that see their own case, and those that know a place."""

import pytest
import torch

from segtrace.dice import dice
from segtrace.report.claims.recognition import beyond_others, unseen

CASES = tuple(f"case {n // 2}" for n in range(16))
CHANNELS = {"liver": 1, "spleen": 2}


def organ(seed, place=8, spread=4.0, size=32):
    """A disc whose centre varies from slice to slice: (16, size, size) bool."""
    generator = torch.Generator().manual_seed(seed)
    centres = place + spread * torch.rand(len(CASES), 2, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    off = (rows - centres[:, :1, None]) ** 2 + (columns - centres[:, 1:, None]) ** 2
    return off < 25


def test_it_is_the_own_dice_less_the_mean_over_the_other_cases():
    truth, mask = organ(0), organ(1)
    truth[3] = False  # of case 1
    expected = []
    for case in range(8):
        own, others = [], {}
        for n in range(16):
            if n // 2 != case or not truth[n].any():
                continue
            for m in range(16):
                counts = ((mask[n] & truth[m]).sum(), mask[n].sum(), truth[m].sum())
                value = float(dice(*(count.float() for count in counts)))
                if m == n:
                    own.append(value)
                elif m // 2 != case and truth[m].any():
                    others.setdefault(m // 2, []).append(value)
        means = [sum(values) / len(values) for values in others.values()]
        if case == 1:
            assert len(own) == 1
        expected.append(sum(own) / len(own) - sum(means) / len(means))
    found = beyond_others(mask, truth, CASES)
    torch.testing.assert_close(found, torch.tensor(expected).double(), atol=1e-6, rtol=0)


def test_of_one_prediction_for_all_cases_nothing_is_left():
    truth = organ(0)
    truth[3] = False
    fixed = truth[:1].expand_as(truth)
    assert beyond_others(fixed, truth, CASES).sum().abs() < 1e-6


def labels(liver, spleen):
    return liver.long() + 2 * (spleen & ~liver).long()


def test_an_organ_that_is_seen_is_told_from_one_in_its_usual_place():
    liver, spleen = organ(0), organ(1, place=20)
    truth = labels(liver, spleen)
    assert unseen(labels(liver.roll(1, -1), spleen), truth, CHANNELS, CASES) == ()
    usual = organ(2, place=20)  # where spleens lie, of other cases
    assert unseen(labels(liver, usual), truth, CHANNELS, CASES) == ("spleen",)


def test_below_five_cases_nothing_is_said_of_it():
    truth = labels(organ(0), organ(1, place=20))
    assert unseen(truth.roll(4, 0), truth, CHANNELS, tuple("aaaabbbbccccdddd")) == ()
    assert unseen(truth.roll(4, 0), truth, {}, CASES) == ()


@pytest.mark.parametrize("spread", [2.0, 6.0])
def test_usual_places_are_taken_for_sight_at_most_one_time_in_twenty(spread):
    taken = 0
    for seed in range(100):
        truth = labels(organ(2 * seed, spread=spread), organ(2 * seed + 1, 20, spread))
        guess = labels(organ(-2 * seed - 1, spread=spread), organ(-2 * seed - 2, 20, spread))
        taken += len(unseen(guess, truth, CHANNELS, CASES)) < 2
    assert taken <= 9  # 5 % and two standard errors
