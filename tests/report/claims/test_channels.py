"""How often channels are said to be an organ's own where they are nobody's, and where they are."""

import pytest
import torch

from segtrace.causal.channels import ChannelLosses, _order, beyond, steps_of
from segtrace.report.claims.channels import channel_claims

GROUPS, ORGANS = 8, 3


def made_up(generator, cases, of_organ=0.0, of_all=0.0):
    """Losses that add up over the groups: by chance, an organ's own, or alike for all organs."""
    noise = torch.randn(GROUPS, ORGANS, cases, generator=generator, dtype=torch.float64)
    own = torch.randn(GROUPS, ORGANS, 1, generator=generator, dtype=torch.float64) * of_organ
    alike = torch.randn(GROUPS, 1, 1, generator=generator, dtype=torch.float64) * of_all
    alone, steps = noise + own + alike, steps_of(GROUPS)
    names = [str(n) for n in range(cases)]

    def curve(order, o):  # (C, G) -> (steps, C)
        each = alone[:, o].T.gather(1, order)
        return torch.stack([each[:, :many].sum(1) for many in steps])

    orders = [_order(alone[:, o], names) for o in range(ORGANS)]
    chance = [torch.rand(cases, GROUPS, generator=generator).argsort(1) for _ in range(3)]
    by_order = torch.stack([torch.stack([curve(order, o) for o in range(ORGANS)], 1)
                            for order in orders])  # fmt: skip
    random = torch.stack([torch.stack([curve(one, o) for o in range(ORGANS)], 1)
                          for one in chance]).mean(0)  # fmt: skip
    groups = tuple(torch.arange(GROUPS).split(1))
    return ChannelLosses(groups, alone, steps, by_order, random), names


def claimed(texts, cases, **effects):
    generator, found = torch.Generator().manual_seed(5), 0
    for _ in range(texts):
        each = {}
        for stage in ("enc1", "dec1"):
            losses, names = made_up(generator, cases, **effects)
            each[stage] = beyond(losses, names)
        claims = channel_claims(each, ("a", "b", "c"), cases)
        found += any(claim.holds for claim in claims)
    return found / texts


@pytest.mark.parametrize("of_all", [0.0, 2.0])
def test_of_channels_that_are_nobodys_own_rarely_anything_is_claimed(of_all):
    """Nor where all organs need the same ones: their own order must beat the other organs'."""
    assert claimed(30, 10, of_all=of_all) <= 0.1


def test_of_channels_that_are_an_organs_own_it_is():
    assert claimed(8, 12, of_organ=3.0) > 0.8


def test_below_ten_cases_no_claim_is_made():
    assert claimed(5, 9, of_organ=9.0) == 0


def test_what_two_organs_lose_apart_by_hand():
    losses, _ = made_up(torch.Generator().manual_seed(1), 4, of_organ=1.0)
    x = losses.by_order  # (order, steps, organ, slice)
    for o in range(ORGANS):
        others = [k for k in range(ORGANS) if k != o]
        torch.testing.assert_close(losses.own[:, o], x[o, :, o])
        torch.testing.assert_close(losses.others[:, o], sum(x[k, :, o] for k in others) / 2)
        apart = sum((x[o, :, o] - x[k, :, o] + x[k, :, k] - x[o, :, k]) / 2 for k in others) / 2
        torch.testing.assert_close(losses.apart[:, o], apart)
