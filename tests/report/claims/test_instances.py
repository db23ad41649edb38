"""What is said of the maps of two parts of an organ."""

import torch

from segtrace.report.claims.nuances.instances import instances_claims, learned_claim

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


def test_training_is_named_where_it_changed_how_far_parts_are_told_apart():
    found = apart([0.06, 0.3, 0.0], [0.5, 0.8, 1.0])
    before = apart([0.35, 0.3, 0.9], [0.2, 0.8, 0.1], seed=1)
    claim = learned_claim(found, before, SITES, RULES, ("head",))
    assert "told apart more by Grad-PAM at enc1 (0.5" in claim.words
    assert "; less by Seg-Grad-CAM at enc1 (0.0" in claim.words
    assert "dec1" not in claim.words
    assert "head" not in claim.words
    assert "corrected for 8 tests" in claim.tests[0]
    few = learned_claim(found[..., :4], before[..., :4], SITES, RULES, ("head",))
    assert not few.holds
    assert "was not tested" in few.words


def test_two_networks_of_one_law_differ_in_at_most_5_percent():
    """Eight cases with noise of their own in either network, six maps, both ways."""
    false = sum(
        learned_claim(*(apart([0.3] * 3, [0.6] * 3, noise=0.1, seed=seed + 1000 * n)
                        for n in range(2)), SITES, RULES, ()).holds
        for seed in range(200)
    )  # fmt: skip
    assert false <= 16  # of 200; 10 are meant
