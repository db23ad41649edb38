"""What is said of maps whose network was made to forget."""

import pytest

from segtrace.causal.sanity.judging import FAILS, GIVEN, OPEN, PASSES, TOO_FEW, Sanity
from segtrace.report.claims.sanity import sanity_claims


def one(site, verdict, elsewhere=0.4, p_region=0.01, cases=12, given=False):
    compared = "spearman" if given else "spearman_absolute"
    return Sanity(
        site, "grad_pam", verdict, given, compared, "all", 0.5, 0.6, 0.3, elsewhere, 0.2, 0.01,
        0.02, p_region, cases,
    )  # fmt: skip


def test_stages_are_named_by_their_verdict_and_the_head_is_no_finding():
    found = [one("enc1", PASSES), one("dec4", OPEN), one("dec5", FAILS, 0.1), one("head", GIVEN)]
    (claim,) = sanity_claims(found, "12 slices", {}, 16)
    assert claim.holds
    assert (
        "fails, more like the trained map than the bound, at dec5 (|map| 0.60 / 0.30); passes, "
        "less like it than the bound, at enc1 (|map| 0.60 / 0.30); not decided at dec4"
    ) in claim.words
    assert "What likeness is left is the region's doing (echo)" in claim.words
    assert "it falls at dec5 (|map|) from 0.60 to 0.10." in claim.words
    assert "not judged" not in claim.words
    assert claim.words.endswith("by construction: no finding.")
    assert claim.numbers["other region at dec5"] == 0.1
    assert claim.tests[0].startswith("below (a pass) or above (a fail) the bound in 95 % of sign")
    assert "corrected for 16 tests" in claim.tests[0]


def test_what_is_0_off_the_region_whatever_the_weights_is_told_as_such():
    given = one("dec5", GIVEN, 0.1, given=True)
    (claim,) = sanity_claims([given, one("dec3", PASSES, 0.1, given=True)], "", {}, 8)
    assert "passes, less like it than the bound, at dec3 (map 0.60 / 0.30)" in claim.words
    assert "by construction, no finding at dec5 (map 0.60 / 0.30)." in claim.words
    assert "At dec5 and dec3 the map is 0 off the region whatever the weights" in claim.words
    assert "(echo)" in claim.words
    (alone,) = sanity_claims([given], "", {}, 8)
    assert not alone.holds


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
