"""Rankings in a sentence: what passed, what came closest, and of few cases no claim."""

from dataclasses import replace

import pytest

from segtrace.causal.faithfulness.ranking import Ranking
from segtrace.report.claims.rankings import ranking_claim

NAN = float("nan")
ONE = Ranking("map size, grad_pam", "all", "supported", 0.8, 0.7, 0.9, 0.6, 0.001, 0.5, 0.1, 0.4,
              0.01, control=False, sites=8, cases=12)  # fmt: skip
DEPTH = replace(ONE, predictor="depth", rho=0.5, low=0.3, high=0.7, best_control=NAN,
                p_beyond=NAN, control=True)  # fmt: skip


def test_what_passed_is_told_beside_the_best_control():
    claim = ranking_claim([DEPTH, ONE, replace(ONE, organ="liver")], "all", "12 cases")
    assert claim.words == (
        "The 8 edges are ranked as cutting does, beyond every control, by map size, Grad-PAM "
        "(ρ 0.80, 0.70 to 0.90); best of the controls: depth (ρ 0.50, 0.30 to 0.70)."
    )
    assert claim.holds
    assert claim.numbers["p_beyond of map size, grad_pam"] == 0.01
    assert "corrected for 2 tests" in claim.tests[0]


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("not supported here", "No map or share ranks the 8 edges as cutting does beyond every"),
        (
            "too few cases",
            "Seen on 12 cases and 8 edges, no claim: what cutting them costs is rank",
        ),
        ("nothing to find", "Cutting any of 8 edges costs next to nothing: there is no order"),
    ],
)
def test_where_nothing_passes_that_is_said(verdict, words):
    claim = ranking_claim([DEPTH, replace(ONE, verdict=verdict)], "all", "")
    assert claim.words.startswith(words)
    assert not claim.holds
