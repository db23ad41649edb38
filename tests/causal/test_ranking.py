import math
from dataclasses import replace

import pytest
import torch

from segtrace import InputError
from segtrace.causal.necessity import Necessity
from segtrace.causal.outcome import Outcome
from segtrace.causal.ranking import rankings

CASES = ("a", "a", "b", "c", "d")
LOSSES = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0]).double()  # the last a cut vertex
GENERATOR = torch.Generator().manual_seed(0)
NOISE = torch.rand(7, 1, 5, generator=GENERATOR, dtype=torch.float64) * 0.02


def table(losses=LOSSES):
    n = len(losses)
    whole = Outcome(torch.ones(1, 5).double(), torch.ones(1, 5).double())
    dice = 1 - losses[:, None, None] - NOISE[:n]
    vertex = torch.zeros(n, dtype=torch.bool)
    vertex[-1] = True
    return Necessity(
        sites=tuple(f"s{k}" for k in range(n)),
        places=("edge",) * n,
        organs=("organ",),
        cases=CASES,
        cut="resample",
        draws=5,
        score="logit",
        cut_vertex=vertex,
        whole=whole,
        dice=dice,
        scores=dice,
    )


def knowing():
    return (LOSSES[:, None, None] + NOISE.flip(2)).clone()


def test_a_predictor_that_knows_is_supported_and_one_upside_down_is_not():
    good, bad = rankings(table(), {"knows": knowing(), "upside down": -knowing()}, {})
    assert (good.verdict, bad.verdict) == ("supported", "not supported here")
    assert good.rho == good.tau == 1
    assert good.p == pytest.approx(1 / 720)  # six sites: the cut vertex is left out
    assert (good.sites, good.cases) == (6, 4)
    assert math.isnan(good.low)  # 1 in all cases
    assert bad.p > 0.9


def test_rho_is_the_mean_over_cases_with_its_interval():
    """Cases a, b and c rank right; d has two neighbours exchanged: ρ of 1 - 6 · 2 / 210."""
    one = table()
    dice = one.dice.clone()
    dice[[2, 3], 0, 4] = dice[[3, 2], 0, 4]
    (found,) = rankings(replace(one, dice=dice), {"knows": knowing()}, {})
    own = torch.tensor([1.0, 1.0, 1.0, 1 - 12 / 210]).double()
    assert found.rho == pytest.approx(own.mean().item())
    half = 3.182446 * own.std().item() / 2  # t of 3 degrees of freedom
    assert found.low == pytest.approx(own.mean().item() - half)
    assert found.high == 1  # no correlation is larger


def test_a_predictor_that_does_not_beat_a_control_is_not_supported():
    depth = torch.arange(7.0)
    control, found = rankings(table(), {"knows": knowing()}, {"depth": depth})
    assert control.predictor == "depth"
    assert control.rho == 1
    assert found.best_control == 1
    assert found.verdict == "not supported here"


def test_a_case_is_predicted_by_the_other_cases_alone():
    values = torch.zeros(7, 1, 5).double()
    values[:, 0, 2] = LOSSES  # only case b knows, and b is not to be asked about itself
    (found,) = rankings(table(), {"b": values}, {})
    assert found.cases == 4
    hidden = values.clone()
    hidden[:, 0, [0, 1, 3, 4]] = torch.nan
    (alone,) = rankings(table(), {"b alone": hidden}, {})
    assert alone.cases == 3  # b itself has no other case to be predicted by


def test_where_no_cut_costs_anything_there_is_nothing_to_find():
    found = replace(table(), dice=torch.ones(7, 1, 5).double())
    assert rankings(found, {"knows": knowing()}, {})[0].verdict == "nothing to find"


@pytest.mark.parametrize(("most", "found"), [(0.0099, True), (0.0101, False)])
def test_nothing_is_a_mean_loss_below_a_hundredth_at_every_site(most, found):
    """Whatever the number of cases: four that lose 0.0099 each are as little as one."""
    dice = 1 - LOSSES[:, None, None].expand(7, 1, 5) * (most / 0.5)
    (one,) = rankings(replace(table(), dice=dice.clone()), {"knows": knowing()}, {})
    assert (one.verdict == "nothing to find") is found


def test_too_few_cases_or_sites_give_no_verdict():
    few = replace(table(), cases=("a", "a", "b", "b", "b"))
    assert rankings(few, {"knows": knowing()}, {})[0].verdict == "too few cases"
    narrow = table(LOSSES[-5:])
    assert rankings(narrow, {"knows": knowing()[-5:]}, {})[0].verdict == "too few cases"


def test_all_organs_together_are_the_mean_of_their_rankings():
    one = table()
    two = replace(
        one,
        organs=("organ", "other"),
        whole=Outcome(torch.ones(2, 5).double(), torch.ones(2, 5).double()),
        dice=torch.cat([one.dice, one.dice.flip(0)], 1),
    )
    knows = torch.cat([knowing(), knowing()], 1)  # right of the first organ alone
    first, second, pooled = rankings(two, {"knows": knows}, {})
    assert (first.organ, second.organ, pooled.organ) == ("organ", "other", "all")
    assert first.rho == 1
    assert pooled.rho == pytest.approx((first.rho + second.rho) / 2)
    assert pooled.cases == 4
    assert pooled.verdict == "not supported here"


def test_mistakes_are_named():
    with pytest.raises(InputError, match="cut by 'zero'; rank losses of cut='resample'"):
        rankings(replace(table(), cut="zero"), {}, {})
    with pytest.raises(InputError, match=r"predictor 'short' has shape \(3,\)"):
        rankings(table(), {"short": torch.ones(3)}, {})
