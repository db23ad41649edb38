"""Headlines: of nothing none, of a planted stage one, and the words around them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from segtrace.report.claims.headlines import MARGIN, Headlines

STAGES = ["enc1", "dec1", "dec2", "dec3", "head"]
RULES, ORGANS = ["seg_grad_cam", "grad_pam"], ["liver", "pancreas", "left_kidney"]


def numbers(values, cases):
    names = {"site": STAGES, "rule": RULES, "organ": ORGANS, "case": [*range(cases)]}
    return xr.DataArray(np.broadcast_to(values, [len(v) for v in names.values()]).copy(), names)


def headlines(cases=12, seed=0, rise=None, dice=0.9, noise=0.05, untrained=True, echo=(),
              random=None):  # fmt: skip
    """``rise``: (stage, organ) -> how far above the untrained network's gain of 0.1."""
    random = random or np.random.default_rng(seed)
    before = numbers(0.1, cases)
    now = before + noise * random.standard_normal((5, 2, 3, cases))
    for (stage, organ), more in (rise or {}).items():
        now.loc[{"site": stage, "organ": organ}] += more
    echoes = now.isel(case=0, drop=True) > math.inf
    for stage in echo:
        echoes.loc[stage] = True
    scores = xr.DataArray(np.broadcast_to(dice, 3).copy(), {"organ": ORGANS})
    about = f"{cases} slices of {cases} cases"
    return Headlines(now, before if untrained else None, echoes, scores, about)


LATE = {(stage, organ): 0.5 for stage in ("dec1", "dec2", "dec3") for organ in ORGANS}


def made(found):
    """Whether a page of these would print a claim."""
    return any(found.network(rule).holds or found.of(rule, organ).holds
               for rule in RULES for organ in ORGANS)  # fmt: skip


def test_the_untrained_network_is_told_as_it_is_also_below_an_even_map():
    found = headlines()
    lower = replace(found, untrained=found.untrained * 0 - 0.2).of("seg_grad_cam", "liver")
    assert "untrained -0.20; " in lower.words
    assert "above the larger of that and 0" in lower.words


def test_a_case_without_the_organ_counts_in_neither_mean():
    found = headlines(3)
    found.gain.loc[{"case": [1, 2], "organ": "liver"}] = np.nan
    found.untrained.loc[{"case": [1, 2], "organ": "liver"}] = np.nan
    tested = found.tested.sel(organ="liver", rule="grad_pam", site="dec2")
    assert float(tested["untrained"]) == pytest.approx(0.1)
    assert "untrained 0.10" in found.of("grad_pam", "liver").words


def test_what_all_cases_show_is_told_before_what_one_does():
    found = headlines(3, rise={("dec1", "liver"): 0.9, ("dec2", "liver"): 0.4})
    found.gain.loc[{"case": [1, 2], "organ": "liver", "site": "dec1"}] = np.nan
    words = found.of("grad_pam", "liver").words
    assert words.startswith("Seen on 3 cases, no claim: furthest above the untrained network's at "
                            "dec2")  # fmt: skip


def test_the_first_stage_beyond_the_untrained_network_is_told_with_its_numbers():
    rise = LATE | {("dec1", "liver"): 0.0}
    claim = headlines(rise=rise).of("seg_grad_cam", "liver")
    assert claim.holds
    assert claim.words.startswith("Its maps lie on it at dec2 alone, beyond the untrained "
                                  "network's: dec2 (gain 0.58, untrained 0.10; 0.45")  # fmt: skip
    assert claim.words.endswith(" above the larger of that and 0, over 12 cases).")
    assert claim.numbers["low at dec2"] > MARGIN
    assert "corrected for 18 tests" in claim.tests[0]  # 2 rules, 3 organs, 3 stages
    assert "from dec1 on" in headlines(rise=rise).of("grad_pam", "pancreas").words


def test_what_all_organs_share_is_said_once_for_the_network():
    found = headlines(rise=LATE)
    claim = found.network("grad_pam")
    assert claim.holds
    assert claim.words == (
        "From dec1 on, maps of all 3 organs that are found lie on their organ, beyond the "
        "untrained network's. Over 12 slices of 12 cases; left out: dec3 and head, the prediction "
        "redrawn."
    )
    some = replace(
        found,
        gain=found.gain.isel(site=slice(0, -1)),
        echo=found.echo.isel(site=slice(0, -1)),
        untrained=found.untrained.isel(site=slice(0, -1)),
    )
    assert "left out: dec3, the last one shown." in some.network("grad_pam").words
    nothing = headlines().network("grad_pam")
    assert not nothing.holds
    assert nothing.words.startswith("Of no organ that is found there is a stage from which on all ")
    differs = headlines(rise=LATE | {("dec2", "liver"): 0.0}).network("grad_pam")
    assert differs.words.startswith("Over 12 slices of 12 cases; ")


def test_where_nothing_passes_that_is_said():
    claim = headlines(rise={("dec3", "pancreas"): 0.5}).of("grad_pam", "pancreas")
    assert not claim.holds
    start = ("No stage before dec3 is shown to be one from which on all maps lie on the pancreas, "
             "beyond the untrained network's; furthest beyond is ")  # fmt: skip
    assert claim.words.startswith(start)
    assert "are not shown to" not in claim.words
    # At one stage they do, and at the next no more: that one is named, and no stage is denied.
    early = headlines(rise={("dec1", "pancreas"): 0.5}).of("grad_pam", "pancreas")
    assert early.words.startswith(f"{start}dec1 (gain 0.58, untrained 0.10;")
    assert early.words.endswith("12 cases), but those of a stage after it are not shown to.")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cases": 3}, "Seen on 3 cases, no claim: furthest above the untrained network's at dec"),
        ({"dice": 0.3}, "Nothing is claimed of maps of an organ whose Dice is below 0.5"),
        ({"dice": math.nan}, "Nothing is claimed of maps of an organ whose Dice is below 0.5"),
        (
            {"untrained": False},
            "Nothing to compare with: no untrained network with the same regions",
        ),
        ({"echo": ("enc1", "dec1", "dec2")}, "No stage gives evidence that may be read."),
    ],
)
def test_what_may_not_be_claimed_says_why(given, words):
    found = headlines(rise=LATE, **given)
    assert found.of("grad_pam", "liver").words.startswith(words)
    assert not made(found)


def test_of_an_organ_in_its_usual_place_nothing_is_claimed():
    found = replace(headlines(rise=LATE), unseen=("liver",))
    claim = found.of("grad_pam", "liver")
    assert not claim.holds
    assert claim.words == (
        "Nothing is claimed of maps of the liver: its prediction fits other cases as well as its "
        "own, as its usual place alone would."
    )
    assert found.of("grad_pam", "pancreas").holds
    assert "corrected for 12 tests" in found.of("grad_pam", "pancreas").tests[0]
    assert found.network("grad_pam").words.startswith("From dec1 on, maps of both organs")


def test_an_echo_is_named_and_left_out():
    found = headlines(rise=LATE, echo=("dec1",))
    assert (
        "of single organs, stages whose untrained map lies on it already (among dec1)"
        in found.network(RULES[0]).words
    )
    assert "at dec2 alone" in found.of("grad_pam", "liver").words


def test_a_network_that_finds_nothing_makes_no_claim_however_far_it_is_from_another():
    """Two untrained networks differ: at 12 cases by more than the margin on most pages."""
    random = np.random.default_rng(0)
    apart = {(s, o): float(random.normal(0, 0.5)) for s in STAGES for o in ORGANS} | LATE
    assert made(headlines(rise=apart))
    assert not made(headlines(rise=apart, dice=0.2))


def test_the_untrained_network_of_which_nothing_is_marked_counts_as_even():
    found = headlines(rise=LATE)
    dead = Headlines(found.gain, found.untrained * math.nan, found.echo, found.dice, found.about)
    assert dead.of("grad_pam", "liver").holds
    assert torch.isfinite(
        torch.as_tensor(list(dead.of("grad_pam", "liver").numbers.values()))
    ).all()
