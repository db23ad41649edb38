"""What is said of leaks whose place was cut."""

import torch

from segtrace.report.claims.nuances.leakage import Cut, leak_cut_claims


def cut(own, shifted=0.0, random=0.0, cases=8, is_event=True, seed=0):
    by = torch.Generator().manual_seed(seed)
    values = {"map": own, "shifted": shifted, "random": random}
    lost = {
        name: value + 0.005 * torch.randn(cases, generator=by).double()
        for name, value in values.items()
    }
    return Cut("seg_grad_cam", "liver", "left_kidney", "dec4", is_event, lost)


def test_a_leak_is_needed_where_its_place_costs_more_than_others():
    needed, not_so, of_chance = leak_cut_claims([cut(0.3), cut(0.0), cut(0.3, shifted=0.3)])
    assert needed.words.startswith("Seg-Grad-CAM, liver on left kidney at dec4 is needed: cutting")
    assert "costs 0.30 Dice of the liver (as many cells: shifted 0.00" in needed.words
    assert needed.holds
    assert not not_so.holds
    assert not_so.words.endswith("not shown to be needed.")
    assert not of_chance.holds


def test_what_is_no_event_or_of_few_cases_is_no_claim():
    (none,) = leak_cut_claims([cut(0.3, is_event=False)])
    assert "no event" in none.words
    assert not none.holds
    (few,) = leak_cut_claims([cut(0.3, cases=4)])
    assert few.words.endswith("no claim, that takes 5 cases.")
    (nowhere,) = leak_cut_claims([cut(torch.nan)])
    assert nowhere.words.endswith("not cut, no case has left kidney cells there outside the rim of "
                                  "the liver.")  # fmt: skip
    assert leak_cut_claims([]) == []


def test_places_that_cost_what_others_do_are_needed_in_at_most_5_percent():
    false = sum(
        any(c.holds for c in leak_cut_claims([cut(0.2, 0.2, 0.2, seed=2 * s + k) for k in (0, 1)]))
        for s in range(200)
    )
    assert false <= 16  # of 200; 10 are meant
