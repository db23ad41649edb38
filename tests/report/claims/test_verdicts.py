"""Verdicts in sentences: what passed, where it did not, and of few cases no claim."""

from dataclasses import replace

import pytest

from segtrace.causal.faithfulness.verdict import Verdict
from segtrace.report.claims.verdicts import Verdicts

LOST = {"map": 0.4, "shifted": 0.1, "random": 0.05, "image": 0.2, "norm": 0.1, "untrained": 0.0}
ONE = Verdict("enc1", "grad_pam", "all", "anywhere", "supported", LOST, {}, 0.01, 12, 40)


def told(*changes, rule="grad_pam"):
    return Verdicts([replace(ONE, **change) for change in changes], "40 slices").of(rule)


def test_stages_that_are_supported_are_told_with_their_numbers_and_the_others_named():
    claim = told({}, {"site": "dec1", "verdict": "not supported here", "p": 0.3},
                 {"site": "dec2", "verdict": "nothing to find"}, {"site": "dec3"},
                 {"where": "outside", "verdict": "not supported here", "p": 0.2})  # fmt: skip
    assert claim.holds
    assert claim.words == (
        "Grad-PAM: cutting what it marks costs more Dice than every control at enc1 (0.40 / 0.20) "
        "(and at dec3 (0.40 / 0.20), where the map is the prediction redrawn), not shown at dec1, "
        "nothing to find at dec2; outside the organ at no stage, closest at "
        "enc1 (0.40 / 0.20) (in brackets Dice lost by what it marks / by its best control)."
    )
    assert claim.numbers["best control at enc1, anywhere, all"] == 0.2
    assert claim.about == "40 slices"
    assert "corrected for 5 tests" in claim.tests[0]


def test_the_last_of_the_stages_that_were_asked_for_need_not_be_the_networks_last():
    judged = [replace(ONE, site=site) for site in ("dec1", "dec2")]
    of_some = Verdicts(judged, "", ("enc1", "dec1", "dec2", "dec3", "head"))
    assert of_some.redrawn == ["head", "dec3"]
    assert "at dec1 (0.40 / 0.20) and dec2 (0.40 / 0.20)" in of_some.of("grad_pam").words
    assert "redrawn" not in of_some.of("grad_pam").words
    assert "dec2 (0.40 / 0.20), where the map" in Verdicts(judged, "").of("grad_pam").words


def test_where_no_stage_passes_that_is_said_and_it_is_no_claim():
    claim = told({"verdict": "not supported here"})
    assert not claim.holds
    assert " at no stage, closest at enc1 (0.40 / 0.20)" in claim.words


def test_single_organs_are_told_apart():
    organs = [{"organ": "liver"}, {"organ": "spleen", "verdict": "not supported here"}]
    found = Verdicts([replace(ONE, **change) for change in ({}, *organs)], "")
    assert [claim.words for claim in found.claims()][1:] == [
        "Grad-PAM, single organs, cells anywhere: liver at enc1; spleen at no stage."
    ]
    assert found.claims()[1].holds
    assert len(Verdicts([replace(ONE, organ="liver")], "").claims()) == 1


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        (3, "Grad-PAM: seen on 3 cases, no claim: furthest above its best control at enc1 (0.40"),
        (0, "Grad-PAM: no map marks a cell that can be cut."),
    ],
)
def test_below_five_cases_there_is_no_claim(cases, words):
    claim = told({"cases": cases, "verdict": "too few cases"})
    assert claim.words.startswith(words)
    assert not claim.holds
