"""Skip or up in a sentence: what passed is told, what did not, and of few networks no claim."""

from dataclasses import replace

from helpers.tallies import CONTROL, KNOWS, NAN, OPEN
from segtrace.causal.faithfulness.paths import CONSTANT
from segtrace.report.claims.paths import path_claim


def test_the_sentence_names_what_passed_its_test_and_what_did_not():
    claim = path_claim([CONTROL, OPEN, KNOWS])
    assert claim.holds
    assert "Grad-PAM in 43 of 50 pairs (mean of the rates of 5 networks: 0.86, 0.80 " in claim.words
    assert "gradient norm alone in 35 of 50" in claim.words
    assert claim.words.endswith(
        "Over 5 networks Grad-PAM does so more often than chance and every control, "
        "Seg-Grad-CAM not."
    )
    assert (claim.numbers["hits of Grad-PAM"], claim.about) == (43, "5 networks")
    assert "sign flips over networks, corrected for 2 tests" in claim.tests[0]


def test_where_nothing_passes_that_is_said():
    claim = path_claim([CONTROL, OPEN, replace(KNOWS, p=0.2)])
    assert not claim.holds
    assert claim.words.endswith("Over 5 networks none does so more often than every control.")


def test_what_one_answer_to_all_pairs_gets_right_too_is_no_finding():
    always = replace(CONTROL, predictor=CONSTANT, hits=50, rate=1.0)
    claim = path_claim([CONTROL, always, OPEN, KNOWS])
    assert not claim.holds
    assert "; always the same path alone in 50 of 50 pairs" in claim.words
    assert claim.words.endswith("Always the same path is right in every pair, so that none can be "
                                "told from an answer that needs no map.")  # fmt: skip


def test_of_few_networks_or_one_there_are_counts_and_no_claim():
    two = path_claim([replace(t, units=2, low=NAN, high=NAN) for t in (CONTROL, OPEN, KNOWS)])
    assert two.words.endswith("Counts of 2 networks, and no claim: that takes 5 networks.")
    one = [replace(t, units=12, unit="cases") for t in (CONTROL, OPEN, KNOWS)]
    assert "one network, 12 cases" in path_claim(one).words
    assert "one network, 1 case, and" in path_claim([replace(t, units=1) for t in one]).words
    assert not two.holds
    assert not path_claim(one).holds
