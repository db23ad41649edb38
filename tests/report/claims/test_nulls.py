"""Of nothing, at most 5 % of texts make a claim, whatever its kind; of something, most do."""

import math
import re
from pathlib import Path

import pytest

import segtrace
from report.claims.nulls import CASES, EFFECTS, KINDS, WITHOUT_EFFECTS, rate, shared_pattern
from segtrace.measures.significance import LEAST_CASES

README = Path(segtrace.__file__).parent / "report" / "claims" / "README.md"
TEXTS, SLOW = 100, 30
FOUND = 0.3
"""Of texts on a true effect, at the least: of six edges little can be shown."""
NULLS = [(kind, effect) for kind in KINDS
         for effect in EFFECTS[: 1 if kind in WITHOUT_EFFECTS else 2]]  # fmt: skip


def most(texts):
    """The largest rate that a true one of 5 % would show, within two standard errors."""
    return 0.05 + 2 * math.sqrt(0.05 * 0.95 / texts)


@pytest.mark.parametrize(
    "cases", [pytest.param(n, marks=pytest.mark.long if n > LEAST_CASES else ()) for n in CASES]
)
@pytest.mark.parametrize(("kind", "effect"), NULLS)
def test_of_nothing_a_claim_is_made_in_at_most_five_percent_of_texts(kind, effect, cases):
    texts = SLOW if kind in WITHOUT_EFFECTS else TEXTS
    made = rate(kind, effect, cases, texts if cases >= LEAST_CASES else 5)
    assert made <= (most(texts) if cases >= LEAST_CASES else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_true_effect_is_claimed_over_twelve_cases(kind):
    assert rate(kind, "normal", 12, 10, true=True) >= FOUND


def test_the_rates_that_are_told_are_of_every_kind_and_within_what_is_promised():
    told = re.findall(r"^\| ([a-z, ]+) \| ([\d. |/]+) \| (\d+) / (\d+) \|$",
                      README.read_text(), re.MULTILINE)  # fmt: skip
    assert [kind for kind, *_ in told] == list(KINDS)
    for _, rates, _, power in told:
        few, *others = ([float(one) for one in cell.split(" / ")] for cell in rates.split(" | "))
        assert set(few) == {0}
        assert max(one for cell in others for one in cell[:2]) <= 100 * most(200)
        assert float(power) >= 100 * FOUND


@pytest.mark.parametrize("shared", [0.5, 1.0])
def test_a_pattern_that_all_cases_share_follows_an_organ_in_at_most_five_percent(shared):
    """What a fixed bias of a network looks like: it is told as an event, and as one that stays."""
    told, follow = shared_pattern(shared, 6, 20)
    assert follow / 20 <= 0.05
    assert told / 20 > (0.9 if shared == 1 else 0.2)  # so docs/trust.md says


@pytest.mark.parametrize("cases", [5, 12])
def test_rare_cases_far_below_are_not_seen_as_the_readme_says(cases):
    """In the rate at which none of one in ten is among the cases."""
    made = rate("headlines", "one in ten far below", cases, 60)
    assert made == pytest.approx(0.9**cases, abs=2 * math.sqrt(0.25 / 60))
