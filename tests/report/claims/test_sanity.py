"""What is said of maps whose network was made to forget."""

import pytest

from segtrace.causal.sanity.judging import FAILS, OPEN, PASSES, TOO_FEW, Sanity
from segtrace.report.claims.sanity import sanity_claims


def one(site, verdict, elsewhere=0.1, p_region=0.01, cases=12):
    return Sanity(
        site, "grad_pam", verdict, "spearman_absolute", "all", 0.7, 0.4, 0.5, 0.6, 0.3, elsewhere,
        0.2, 0.01, 0.02, p_region, cases,
    )  # fmt: skip


def test_stages_are_named_by_their_verdict_and_the_head_is_no_finding():
    found = [one("enc1", PASSES), one("dec4", OPEN), one("dec5", FAILS), one("head", FAILS)]
    (claim,) = sanity_claims(found, "12 slices", {}, 16)
    assert claim.holds
    assert (
        "fails, as much like the trained map whatever the weights, at dec5 (|map| 0.70 / 0.40)"
        in (claim.words)
    )
    assert (
        "changes with the weights at enc1 (|map| 0.70 / 0.40); not decided at dec4" in claim.words
    )
    assert "than maps of other cases are (95 % quantile 0.40), not to be unlike it." in claim.words
    assert "The region keeps it alike (echo)" in claim.words
    assert "|ρ| falls at dec5 from 0.60 to 0.10." in claim.words
    assert claim.words.endswith("by construction: no finding.")
    assert claim.numbers["other region at dec5"] == 0.1
    assert "corrected for 16 tests" in claim.tests[0]


@pytest.mark.parametrize("not_an_echo", [{"elsewhere": 0.5}, {"p_region": 0.2}])
def test_what_stays_whatever_the_region_is_no_echo(not_an_echo):
    (claim,) = sanity_claims([one("dec5", FAILS, **not_an_echo)], "", {}, 4)
    assert "echo" not in claim.words


def test_the_head_alone_and_few_cases_are_no_claim():
    (claim,) = sanity_claims([one("head", FAILS)], "", {}, 4)
    assert not claim.holds
    left, claim = sanity_claims([one("dec5", TOO_FEW, cases=2)], "", {"liver": "Dice below 0.5"}, 0)
    assert not claim.holds
    assert "2 cases with an organ that is found, no claim: that takes 5; give data=" in claim.words
    assert left.words == "Left out of the verdicts: liver: Dice below 0.5."
