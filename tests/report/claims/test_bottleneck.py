"""What is said of the stage at which a map is drawn."""

import torch

from segtrace.report.claims.nuances.bottleneck import bottleneck_claims

ORGANS = ("liver", "left_kidney", "spleen")


def of(lost, cases=8, noise=0.01, seed=0):
    by = torch.Generator().manual_seed(seed)
    values = torch.tensor(lost).double()[:, None] + noise * torch.randn(3, cases, generator=by)
    return bottleneck_claims(values, torch.full((3, 2), cases), ORGANS, "enc5", "Seg-Grad-CAM",
                             "zero")  # fmt: skip


def test_idle_needed_and_open_organs_are_told_apart():
    idle, needed, undecided = of([0.0, 0.4, 0.05])
    assert idle.words.startswith(
        "A map where the cut costs next to nothing: Seg-Grad-CAM draws one at enc5 in 8 of 8 slices"
    )
    assert "and cutting enc5 (zero in its place) costs less than 0.05 Dice of liver (" in idle.words
    assert "more than 0.05 Dice of left kidney (0.40)" in needed.words
    assert idle.holds
    assert needed.holds
    assert not undecided.holds
    assert "spleen" in undecided.words
    (few,) = of([0.0, 0.4, 0.05], cases=4)
    assert not few.holds


def test_at_the_border_a_claim_is_made_in_at_most_5_percent():
    false = sum(any(c.holds for c in of([0.05] * 3, noise=0.03, seed=s)) for s in range(200))
    assert false <= 16  # of 200; 10 are meant
