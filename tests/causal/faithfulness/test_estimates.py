"""How far estimates are off, and how they order losses, against loops."""

import pytest
import torch
from scipy.stats import spearmanr

from segtrace.causal.faithfulness.estimates import beside_cuts, within_stages
from segtrace.causal.necessity import Necessity
from segtrace.network.edges import Edge

SITES, CASES = ("enc1", "skip_1", "up_1"), ("x", "x", "y", "z")
EDGES = {name: Edge(name, stage="dec1", module="m", source="") for name in SITES[1:]}
NAN = float("nan")


def losses():
    generator = torch.Generator().manual_seed(3)
    scores = torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    scores[:, 1, 3] = NAN  # the second organ is not on the last slice
    whole = torch.full((2, 4), 1.0, dtype=torch.float64)
    whole[1, 3] = NAN
    return Necessity.of(
        sites=SITES, places=("stage", "edge", "edge"), organs=("a", "b"), cases=CASES, cut="zero",
        draws=1, score="logit", cut_vertex=torch.tensor([True, False, False]), whole_dice=whole,
        whole_score=whole * 3, dice=scores, scores=scores * 2,
    )  # fmt: skip


ESTIMATE = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def test_how_far_off_an_estimate_is_by_hand():
    lost = losses()
    found = beside_cuts(ESTIMATE.clone(), lost)
    for s, site in enumerate(SITES):
        off, real = [], []
        for o in range(2):
            for n in range(4):
                loss = 3.0 - float(lost.data["scores"].values[s, o, n])
                if loss == loss:
                    off.append(float(ESTIMATE[s, o, n]) - loss)
                    real.append(loss)
        own = found.sel(site=site)
        assert int(own["pairs"]) == 7
        assert float(own["bias"]) == pytest.approx(sum(off) / 7)
        assert float(own["rmse"]) == pytest.approx((sum(d * d for d in off) / 7) ** 0.5)
        assert float(own["size"]) == pytest.approx((sum(d * d for d in real) / 7) ** 0.5)
    assert found["dice_lost"].sel(site="up_1", organ="a").values.tolist() == pytest.approx(
        [1 - float(one) for one in lost.data["dice"].values[2, 0]]
    )


def test_order_within_a_decoder_stage_is_spearmans_over_its_two_edges_and_all_cases():
    lost = losses()
    of_edges = Necessity(lost.data.sel(site=list(EDGES)))
    found = within_stages(of_edges, EDGES, {"mine": ESTIMATE[1:], "flat": torch.ones(2, 2, 4)})
    assert found["rho"].dims == ("predictor", "organ", "stage")
    for o, organ in enumerate(("a", "b")):
        guesses, real = [], []
        for s in (1, 2):
            for case in dict.fromkeys(CASES):
                mine = [n for n in range(4) if CASES[n] == case and not (o == 1 and n == 3)]
                if mine:
                    guesses.append(sum(float(ESTIMATE[s, o, n]) for n in mine) / len(mine))
                    left = sum(float(lost.data["scores"].values[s, o, n]) for n in mine)
                    real.append(3 - left / len(mine))
        own = found["rho"].sel(organ=organ, stage="dec1")
        assert len(real) == (6, 4)[o]
        if o == 0:  # of a slice that lacks it the second organ's estimate is no number
            assert float(own.sel(predictor="mine")) == pytest.approx(spearmanr(guesses, real)[0])
        assert torch.isnan(torch.tensor(float(own.sel(predictor="flat"))))
        assert int(found["losses"].sel(organ=organ, stage="dec1")) == len(real)


def test_of_fewer_than_four_losses_no_order_is_told():
    lost = losses()
    few = Necessity(lost.data.sel(site=list(EDGES)).isel(slice=[0, 1]))  # one case: two losses
    found = within_stages(few, EDGES, {"mine": ESTIMATE[1:, :, :2]})
    assert found["losses"].values.tolist() == [[2], [2]]
    assert found["rho"].isnull().all()
