"""Routes in words: of nothing none, of planted losses the largest, their twins and differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.changed import changed
from segtrace.causal.necessity import Necessity
from segtrace.report.claims.claim import told
from segtrace.report.claims.routes import Routes

ENTERS = {"skip_1": "dec1", "up_1": "dec1", "skip_2": "dec2", "up_2": "dec2"}
SITES = ("enc1", "dec1", *ENTERS, "dec2")
ORGANS = ("liver", "left_kidney", "spleen")


def routes(lost, cases=12, noise=0.01, seed=0, whole=0.9, enters=ENTERS, random=None):
    """``lost``: site, or (site, organ), -> Dice lost; dec2 is a cut vertex, dec1 feeds up_2 alone.

    ``whole``: the Dice of every organ before, or of each.
    """
    random = random or np.random.default_rng(seed)
    before = np.broadcast_to(np.reshape(whole, (-1, 1)), (3, cases)).astype(float)
    left = np.tile(before, (len(SITES), 1, 1))
    for s, site in enumerate(SITES):
        for o, organ in enumerate(ORGANS):
            left[s, o] -= lost.get((site, organ), lost.get(site, 0.0))
    left += noise * random.standard_normal(left.shape)
    left[SITES.index("dec2")] = 0
    own = torch.from_numpy(before.copy())
    plain = {
        "sites": SITES, "places": ("stage",) * 2 + ("edge",) * 4 + ("stage",), "organs": ORGANS,
        "ends": [{"enc1": "up_1", "dec1": "up_2"}.get(site, site) for site in SITES],
        "cases": tuple(map(str, range(cases))), "cut": "zero", "draws": 1, "score": "logit",
        "cut_vertex": torch.tensor([site == "dec2" for site in SITES]),
        "whole": {"dice": own, "score": own}, "dice": torch.from_numpy(left),
        "scores": torch.from_numpy(left),
    }  # fmt: skip
    return Routes(Necessity.from_plain(plain), enters)


def made(found):
    return found.network() is not None or any(found.of(organ).holds for organ in ORGANS)


def test_of_one_path_the_last_is_told_and_cut_vertices_are_left_out():
    found = routes({"dec1": 0.4, "up_2": 0.3})
    assert found.paths == {
        "skip_1": [], "up_1": ["enc1"], "skip_2": [], "up_2": ["dec1"]
    }  # fmt: skip
    assert "loses most without up_2 (0.3" in found.of("liver").words
    assert "dec1" not in found.of("liver").words
    assert found.told_for == (
        "Of sites that are one path the last is named: up_1 (for enc1) and up_2 (for dec1)."
    )


def test_where_no_cut_costs_anything_none_is_called_the_costliest():
    for cases in (3, 12):
        words = routes({}, cases, noise=0.0).of("liver").words
        assert words == ("No cut of a stage or edge costs the liver Dice (below 0.005); over "
                         f"{cases} cases.")  # fmt: skip


def test_of_an_organ_in_its_usual_place_nothing_is_claimed():
    found = replace(routes({"skip_1": 0.3}), unseen=("liver",))
    assert not found.of("liver").holds
    assert found.of("liver").words == (
        "Nothing is claimed of what the liver needs: its prediction fits other cases as well as "
        "its own, as its usual place alone would."
    )
    assert found.of("spleen").holds
    assert found.network().words == "Both organs that are found lose most without skip_1."


def test_the_largest_losses_are_told_with_intervals_and_where_they_differ_from_other_organs():
    found = routes({"skip_1": 0.3, ("skip_1", "liver"): 0.6, "up_2": 0.2})
    claim = found.of("liver")
    assert claim.holds
    assert claim.words.startswith("The liver loses most without skip_1 (0.6")
    assert ", also without up_2 (0.20" in claim.words
    assert (
        "; a larger share of its Dice than other found organs of theirs without skip_1 (by 0.33"
        in claim.words
    )
    assert claim.words.endswith("; over 12 cases.")
    assert "dec2" not in claim.words
    assert "larger share" not in found.of("spleen").words
    assert found.network().words == "All 3 organs that are found lose most without skip_1."
    assert routes({("skip_1", "liver"): 0.6, "up_2": 0.4}).network() is None


def test_what_an_organ_has_to_lose_is_no_difference_between_organs():
    """All lose half of their Dice; of the liver, which has most, that is most Dice."""
    lost = {
        ("skip_1", organ): 0.5 * dice for organ, dice in zip(ORGANS, (0.9, 0.6, 0.5), strict=True)
    }
    claim = routes(lost, whole=(0.9, 0.6, 0.5), noise=0.01).of("liver")
    assert "loses most without skip_1 (0.45" in claim.words
    assert "share" not in claim.words


@pytest.mark.parametrize(("dice", "is_held"), [(0.02, False), (0.4, False), (0.6, True)])
def test_an_organ_that_is_not_found_is_none_that_others_are_held_against(dice, is_held):
    lost = {("skip_1", "liver"): 0.4, ("skip_1", "left_kidney"): 0.4}
    found = routes(lost, whole=(0.9, 0.9, dice), noise=0.01)
    assert ("than other found organs of theirs" in found.of("liver").words) == is_held


def test_sites_without_which_nothing_is_left_are_told_together_and_not_ranked():
    found = routes({"skip_1": 0.9, "up_1": 0.9, "skip_2": 0.9, "up_2": 0.4}, noise=0.0)
    scores = np.random.default_rng(0).random(found.necessity.data["scores"].shape)
    told = Routes(changed(found.necessity, scores=scores), ENTERS).of("liver").words
    assert told.startswith("The liver loses most without skip_1, up_1 and skip_2 (all of it), "
                           "also without up_2 (0.40, the same in all 12 cases)")  # fmt: skip
    assert "lose most" not in str(found.network())  # which of the three is nobody's finding


def test_most_is_said_where_a_cut_costs_more_than_every_other_case_by_case():
    found = routes({"skip_1": 0.3, "up_2": 0.3}, noise=0.05)
    claim = found.of("liver")
    assert claim.holds
    assert claim.words.startswith("The liver loses Dice without ")
    assert ", and no cut is shown to cost it most" in claim.words
    assert found.network() is None
    assert not any("costs most" in test for test in claim.tests)
    apart = routes({"skip_1": 0.4, "up_2": 0.3}, noise=0.05).of("liver")
    assert apart.words.startswith("The liver loses most without skip_1 (0.")
    assert "what costs most: above every other cut in 95 % of sign flips" in apart.tests[-1]


def test_of_two_that_cost_the_same_few_texts_call_one_the_costliest():
    texts, most = 100, 0
    for seed in range(texts):
        found = routes({"skip_1": 0.3, "up_2": 0.3}, 8, noise=0.05, seed=seed)
        most += any(found.costliest(organ) for organ in ORGANS)
    assert most <= 0.05 * texts


def test_edges_that_cost_nothing_each_into_a_stage_that_is_needed_are_named():
    words = routes({"up_2": 0.4}).of("liver").words
    assert "; of skip_1 and up_1 none is needed alone, up_2 that comes of them is (0.40" in words
    assert "alone" not in routes({"up_2": 0.4}, enters={}).of("liver").words
    assert "alone" not in routes({"up_2": 0.4, "up_1": 0.1}).of("liver").words


def test_where_nothing_passes_that_is_said():
    claim = routes({"skip_1": 0.02}, noise=0.05).of("left_kidney")
    assert not claim.holds
    assert claim.words.startswith("No single stage or edge is shown to cost the left kidney more")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cases": 3}, "Seen on 3 cases, no claim: the liver loses most without skip_1 (0.3"),
        ({"cases": 2}, "Seen on 2 cases, no claim: the liver loses most without skip_1 (0.3"),
        ({"whole": 0.05}, "The liver has next to no Dice (0.05): cutting can take nothing away"),
    ],
)
def test_what_may_not_be_claimed_says_why(given, words):
    claim = routes({"skip_1": 0.3}, **given).of("liver")
    assert claim.words.startswith(words)
    assert not claim.holds


def test_organs_with_nothing_to_lose_are_told_together_behind_the_others():
    told = [claim.words for claim in routes({"skip_1": 0.3}, whole=(0.04, 0.9, 0.0)).claims()]
    assert len(told) == 2
    assert told[0].startswith("The left kidney loses most without skip_1")
    assert told[1] == ("Next to no Dice, so that cutting can take nothing away and says nothing: "
                       "liver (Dice 0.04) and spleen (Dice 0.00).")  # fmt: skip


def test_what_a_claim_passed_is_not_said_again_for_one_that_passed_less():
    claims = routes({"skip_1": 0.3, ("skip_1", "liver"): 0.6}).claims()
    assert len({claim.tests for claim in claims if claim.holds}) == 2
    said = [words for words in told(claims) if words.startswith("Claims here passed")]
    assert len(said) == 1
    assert "; that of a larger share 0.05 above the others'." in said[0]
