import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import segtrace
from helpers.planted_reader import STAGES, Reader, save_reader
from segtrace import InputError
from segtrace.attribution.rules import grad_pam
from segtrace.attribution.trace import trace
from segtrace.explainers.desai2020 import AblationCam
from segtrace.explainers.explainer import maps_by
from segtrace.explainers.petsiuk2018 import Rise
from segtrace.measures.resize import resized
from segtrace.planted import benchmark as planted
from segtrace.planted.benchmark import gains, score_maps, score_planted
from segtrace.planted.network import PlantedNetwork


@pytest.fixture(autouse=True)
def _lenient(monkeypatch):
    """The reader outlines the disc as well as a threshold can."""
    monkeypatch.setattr(planted, "ENOUGH", 0.5)


@pytest.fixture
def reader(tmp_path):
    return save_reader(tmp_path / "epoch_001.ckpt", "far")


def by_stage(score):
    return {stage.stage: stage for stage in score.stages}


def opposite(activation, gradient):
    """Marks every cell but those that matter."""
    return -grad_pam(activation, gradient)


def test_a_true_rule_is_supported_where_the_class_is_held_and_has_nothing_to_find_elsewhere(reader):
    score = score_planted("grad_pam", reader, net=Reader)
    found = by_stage(score)
    assert {name: stage.verdict for name, stage in found.items()} == {
        "marks": "supported", "told": "nothing to find", "head": "nothing to find",
    }  # fmt: skip
    assert found["marks"].held == pytest.approx(1)
    assert found["marks"].gain > 0.5
    assert found["marks"].beyond_decoy[0] > 0
    assert math.isnan(found["marks"].untrained)  # no epoch_000.ckpt lies beside it
    assert found["marks"].cases == 4
    assert score.reason == ""


def test_a_false_rule_is_not_supported(reader):
    marks = by_stage(score_planted(opposite, reader, net=Reader))["marks"]
    assert marks.verdict == "not supported here"
    assert marks.gain < 0.5


def test_a_rule_that_says_no_more_than_the_untrained_network_is_not_supported(reader):
    """The null beside it is the same network: nothing was learned that the map could show."""
    save_reader(reader.with_name("epoch_000.ckpt"), "far", epoch=0)
    marks = by_stage(score_planted("grad_pam", reader, net=Reader))["marks"]
    assert marks.untrained == marks.gain
    assert all(map(math.isnan, marks.beyond_untrained))  # 0 more in every case
    assert marks.verdict == "not supported here"


def test_gain_is_that_of_a_slow_sum_over_pixels(reader):
    network = PlantedNetwork.load(reader, Reader)
    slices = network.slices()
    target = torch.zeros(len(slices.images), 3, 64, 64)
    target[:, 1], target[:, 2] = 1, -1
    flow = trace(network.net, STAGES, slices.images, {"a": target, "b": -target}, "grad_pam")
    found = gains(flow, ("marks", 0), slices.evidence, slices.own - 1)
    for n in range(len(found)):
        signed = flow.maps["marks"][0, int(slices.own[n]) - 1, n]
        positive = resized(signed[None, None].relu(), (64, 64))[0, 0]
        mass = float(positive[slices.evidence[n]].sum() / positive.sum())
        area = float(slices.evidence[n].float().mean())
        assert float(found[n]) == pytest.approx((mass - area) / (1 - area), rel=1e-5)


def test_a_network_that_has_not_learned_its_task_gets_no_verdict(tmp_path):
    score = score_planted(
        "grad_pam", save_reader(tmp_path / "epoch_001.ckpt", "far", blind=True), net=Reader
    )
    assert {stage.verdict for stage in score.stages} == {"refused"}
    assert score.reason == "Dice 0.00, class right 1.00; the task is learned above 0.5"
    assert "No verdict: Dice 0.00" in str(score)


def test_it_is_public():
    assert segtrace.score_planted is score_planted


def test_an_unknown_rule_is_refused_before_any_work():
    with pytest.raises(InputError, match="no rule 'grad_pan'"):
        score_planted("grad_pan", "nowhere.ckpt")


def test_an_unknown_question_is_refused(reader):
    with pytest.raises(InputError, match="no why 'score'; allowed are margin, logit"):
        score_planted("grad_pam", reader, why="score", net=Reader)


def test_the_class_logit_alone_can_be_explained(reader):
    """Of the reader both classes' logits are mirror images: half the margin, the same map."""
    one, other = (
        score_planted("grad_pam", reader, why=why, net=Reader) for why in ("margin", "logit")
    )
    assert by_stage(one)["marks"].gain == pytest.approx(by_stage(other)["marks"].gain)


def test_too_few_cases_give_no_verdict():
    assert planted._word(2, held=True, named=True) == "too few cases"
    assert planted._word(3, held=False, named=True) == "not supported here"


def of_rule(network, asked):
    net, stages, probes, *_ = network
    return trace(net, stages, probes.images, asked, "grad_pam").cpu()


@pytest.mark.parametrize("why", ["margin", "logit"])
def test_maps_of_a_function_are_scored_as_those_of_a_rule(reader, why):
    save_reader(reader.with_name("epoch_000.ckpt"), "far", epoch=0)
    rule = score_planted("grad_pam", reader, why=why, net=Reader)
    assert str(score_maps(of_rule, reader, why=why, net=Reader)) == str(rule)


def test_maps_of_edges_are_left_out_since_what_is_held_there_is_not_known(reader):
    def with_an_edge(network, asked):
        flow = of_rule(network, asked)
        more = {name: torch.cat([own, own[-1:]]) for name in ("kappa", "gradient_l1", "status")
                for own in [getattr(flow, name)]}  # fmt: skip
        return replace(flow, maps={**flow.maps, "skip_1": flow.maps["head"]}, **more)

    assert str(score_maps(with_an_edge, reader, net=Reader)) == str(
        score_maps(of_rule, reader, net=Reader)
    )


def test_an_explainer_is_put_to_the_same_test(reader):
    """The image holds all of the class, and RISE finds it; hidden by 0 all would be a dark mark."""
    explainer = Rise(masks=150, cells=8, baseline="mean")
    found = score_maps(maps_by(explainer), reader, count=2, net=Reader)
    (stage,) = found.stages
    assert (found.rule, stage.stage, stage.held) == ("rise", "input", 1)
    assert (stage.verdict, stage.slices, stage.cases) == ("supported", 8, 4)
    assert stage.gain > 0.1 > stage.decoy


def test_an_explainer_of_stages_is_asked_for_those_that_are_named(reader):
    found = score_maps(maps_by(AblationCam()), reader, stages=["marks"], net=Reader)
    assert {name: stage.verdict for name, stage in by_stage(found).items()} == {
        "marks": "supported"
    }


def test_maps_of_the_decoy_are_not_supported(reader):
    slices = PlantedNetwork.load(reader, Reader).slices()

    def decoys(network, asked):
        flow = maps_by(Rise(masks=10, cells=1))(network, asked)
        return replace(flow, maps={"input": slices.decoy.double().expand(1, 2, -1, -1, -1)},
                       status=flow.status * 0)  # fmt: skip

    (stage,) = score_maps(decoys, reader, net=Reader).stages
    assert stage.verdict == "not supported here"
    assert stage.gain < 0 < 0.9 < stage.decoy


def test_what_cannot_be_scored_is_refused(reader):
    with pytest.raises(InputError, match="count=3; give an even number from 2"):
        score_maps(of_rule, reader, count=3, net=Reader)
    with pytest.raises(InputError, match="no why 'score'"):
        score_maps(of_rule, reader, why="score", net=Reader)

    class Mute:
        title, max_seconds = "Mute", None

        def explain(self, network, targets, budget):
            return SimpleNamespace(flow=None)

    with pytest.raises(InputError, match="Mute makes no maps"):
        score_maps(maps_by(Mute()), reader, net=Reader)


def test_a_network_that_segments_both_triangles_has_not_learned_its_task(tmp_path):
    """Of what is to be segmented it may find all: it is right on one of two twins."""
    score = score_planted(
        "grad_pam", save_reader(tmp_path / "epoch_001.ckpt", "triangle"), net=Reader
    )
    assert {stage.verdict for stage in score.stages} == {"refused"}
    assert "class right 0.50" in score.reason


@pytest.mark.parametrize("task", ["far", "triangle", "maze"])
def test_the_margin_is_that_of_a_slow_sum_over_pixels_where_twins_differ(tmp_path, task):
    network = PlantedNetwork.load(save_reader(tmp_path / "epoch_001.ckpt", task), Reader)
    slices = network.slices().first(2)
    logits = network.logits(slices)
    for n, found in enumerate(slices.margin(logits)):
        own, other = slices.truth[n], slices.truth[n + 1 - 2 * (n % 2)]
        pixels = [(i, j) for i, j in (own != other).nonzero().tolist()]
        total = sum(
            float(logits[n, own[i, j], i, j] - logits[n, other[i, j], i, j]) for i, j in pixels
        )
        assert float(found) == pytest.approx(total / len(pixels), rel=1e-5)
