"""Emergence in sentences: over runs, with their epochs; of few runs what was seen."""

import pytest
import torch

from segtrace.measures.emergence import Emergence
from segtrace.report.claims.emergence import Emergences, when

STAGES = ("enc1", "dec1", "dec2")


def emergences(runs=5, rise=(0.0, 0.5, 0.6), emerged=True, dice=0.9, left_out=()):
    """One rule, two organs; the stages rise by so much, and the liver's dec1 not at all."""
    generator = torch.Generator().manual_seed(0)
    places = [("grad_pam", organ, stage) for organ in ("liver", "left_kidney") for stage in STAGES]
    rises = torch.tensor([*rise, *rise]).double()[:, None].repeat(1, runs)
    rises[1] = 0
    rises += 0.01 * torch.randn(rises.shape, generator=generator)
    found = {place: [Emergence("emerged", 2 + run % 3) if up[0] > 0.1 and emerged
                     else Emergence("none") for run in range(runs)]
             for place, up in zip(places, rises.tolist(), strict=True)}  # fmt: skip
    scores = {"liver": dice, "left_kidney": 0.9}
    return Emergences(found, rises, scores, frozenset(left_out))


def test_stages_that_rise_in_most_runs_are_told_with_epochs_and_intervals():
    claim = emergences().of("grad_pam", "left_kidney")
    assert claim.holds
    assert claim.words.startswith(
        "Left kidney, Grad-PAM: over 5 runs begins to localise at dec1 (epoch 2 to 4 in 5 of 5 "
        "runs; gain up by 0.49, 0.48 to 0.51)"
    )
    assert " and dec2 (epoch 2 to 4 in 5 of 5 runs" in claim.words
    assert claim.numbers["low at dec2"] > 0.5
    assert "sign flips over runs, corrected for 6 tests" in claim.tests[0]
    assert "dec1" not in emergences().of("grad_pam", "liver").words
    assert [claim.holds for claim in emergences().claims()] == [True, True]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"rise": (0, 0, 0)},
            "Liver, Grad-PAM: over 5 runs no stage is shown to begin to localise",
        ),
        (
            {"rise": (0, 0, 0.08)},
            "Liver, Grad-PAM: over 5 runs no stage is shown to begin to local",
        ),
        ({"emerged": False}, "Liver, Grad-PAM: over 5 runs no stage is shown to begin to localise"),
        ({"left_out": [("grad_pam", "liver", "dec2")]}, "Liver, Grad-PAM: over 5 runs no stage is"),
        ({"dice": 0.3}, "Liver, Grad-PAM: nothing is claimed of maps of an organ that is not foun"),
        ({"dice": float("nan")}, "Liver, Grad-PAM: nothing is claimed of maps of an organ that is"),
        ({"runs": 3}, "Liver, Grad-PAM: seen in 3 runs, no claim: dec2: epoch 2 to 4 in 3 of 3 ru"),
        ({"runs": 1}, "Liver, Grad-PAM: seen in one run, no claim: dec2: epoch 2 (one run)."),
    ],
)
def test_what_may_not_be_claimed_says_why(given, words):
    claim = emergences(**given).of("grad_pam", "liver")
    assert claim.words.startswith(words)
    assert not claim.holds


def test_runs_are_summed_up_by_their_range() -> None:
    runs = [Emergence("emerged", 4), Emergence("none"), Emergence("emerged", 9)]
    assert when(runs) == "epoch 4 to 9 in 2 of 3 runs"
    assert when(runs[:1]) == "epoch 4 (one run)"
    assert when(runs[1:2]) == "none (one run)"
    assert when([Emergence("fell"), Emergence("none")]) == "in none of 2 runs"
