"""What is said of the maps of two parts of an organ."""

import torch

from segtrace.report.claims.nuances.instances import instances_claims

SITES, RULES = ("enc1", "dec1", "head"), ("seg_grad_cam", "grad_pam")


def apart(one, other, cases=8, noise=0.02, seed=0):
    """(S, R, C): rule one and rule other at every stage."""
    by = torch.Generator().manual_seed(seed)
    values = torch.tensor([one, other]).double().T[..., None].expand(-1, -1, cases)
    return values + noise * torch.randn(values.shape, generator=by)


def test_what_holds_over_cases_is_said_and_the_output_left_out():
    found = apart([0.05, 0.3, 0.0], [0.04, 0.8, 1.0])
    same, more = instances_claims(found, SITES, RULES, ("head",))
    assert same.words.startswith("Seg-Grad-CAM draws nearly the same map for both parts")
    assert same.words.endswith("at enc1 (0.04).")
    assert "at dec1 (0.8" in more.words
    assert "enc1" not in more.words
    assert "head" not in same.words + more.words
    assert same.holds
    assert more.holds
    assert "corrected for 4 tests" in more.tests[0]


def test_nothing_is_claimed_of_few_cases_or_of_nothing():
    (claim,) = instances_claims(apart([0.0] * 3, [1.0] * 3, cases=4), SITES, RULES, ())
    assert claim.words == "Seen on 4 cases, no claim: that takes 5."
    claims = instances_claims(apart([0.5] * 3, [0.5] * 3, noise=0), SITES, RULES, ())
    assert not any(claim.holds for claim in claims)
    assert claims[0].words.startswith("No stage is found at which Seg-Grad-CAM draws nearly")


def test_rules_that_differ_by_chance_are_told_apart_in_at_most_5_percent():
    """Both at the border of being the same map, and as far from one another as chance has it."""
    false = sum(
        any(claim.holds for claim in instances_claims(
            apart([0.1] * 3, [0.1] * 3, noise=0.05, seed=seed), SITES, RULES, ()))
        for seed in range(200)
    )  # fmt: skip
    assert false <= 16  # of 200; 10 are meant
