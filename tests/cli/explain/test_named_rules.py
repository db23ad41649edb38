"""Rules named in YAML or on the command line by a class or function and its options."""

from functools import partial

import pytest
import torch

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import rules, targets
from segtrace.cli.explain.named_rules import rules_of
from segtrace.cli.explain.options import check_options
from segtrace.cli.schema import check
from segtrace.report.captions import equation
from segtrace.tracking.explained import Settings
from segtrace.training.construction import construct

OWN = "cli.explain.test_named_rules"


def squared(power=2):
    return rules.Rule("squared", lambda gradient, _stride: gradient**power, equation="G squared")


def summed(activation, gradient):
    return (activation * gradient).sum(1)


def test_options_of_an_explainer_that_is_not_asked_for_say_how_it_is():
    given = {"rise": {"_target_": "segtrace.explainers.petsiuk2018.Rise"}, "misure": {"steps": 10}}
    with pytest.raises(InputError, match=r"misure .*name it in 'explainer=\[rise,misure\]'"):
        check({"explainers": given}, ("explainers",))


def test_a_rule_with_options_is_named_in_yaml_and_its_caption_says_them():
    named = ["seg_grad_cam", {"_target_": "segtrace.attribution.rules.seg_xres_cam", "window": 4}]
    node = {"_target_": "segtrace.tracking.explained.Settings", "rules": named}
    check({"explain": node}, ("explain",))
    settings = construct("explain", node)
    assert settings.rule_names == ("seg_grad_cam", "seg_xres_cam_4")
    x, truth = nets.images(1, 16), nets.labels(1, 16, 3)
    target = targets.organ(1, "gt", truth)
    flow = segtrace.trace(nets.plain(), nets.PLAIN_STAGES, x, target, settings.rules)
    assert "mean of 4 x 4 cells" in equation(flow, "seg_xres_cam_4")
    plain = settings.to_plain()  # what a checkpoint keeps of them
    assert plain["rules"] == ["seg_grad_cam", "seg_xres_cam_4"]
    again = segtrace.trace(nets.plain(), nets.PLAIN_STAGES, x, target, Settings(**plain).rules)
    assert all(torch.equal(again.maps[name], maps) for name, maps in flow.maps.items())
    assert equation(again, "seg_xres_cam_4") == equation(flow, "seg_xres_cam_4")


def test_the_authors_tiling_is_named_in_yaml():
    named = {"_target_": "segtrace.attribution.rules.seg_xres_cam", "window": 4,
             "tiling": "authors"}  # fmt: skip
    check_options({"rules": [named]})
    (rule,) = rules_of([named])
    assert rule.name == "seg_xres_cam_4_authors"
    assert "padded and stretched as in the authors' program" in rule.equation


def test_the_command_line_names_rules_of_the_users_own():
    asked = ["grad_pam", {"_target_": f"{OWN}.squared", "power": 3},
             {"_target_": f"{OWN}.summed", "_partial_": True}]  # fmt: skip
    check_options({"rules": asked})
    settings = Settings(rules=rules_of(asked))
    assert settings.rule_names == ("grad_pam", "squared", "summed")
    assert rules.resolve(partial(summed))[0].name == "summed"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"power": 3}, r"rules\[0\] names nothing; give its _target_=package.function"),
        ({"_target_": 3}, r"rules\[0\] names nothing"),
        ({"_target_": "torch.zeros", "size": [1]}, r"rules\[0\] is a Tensor of shape \(1,\)"),
        (
            {"_target_": "segtrace.attribution.rules.seg_xres_cam", "window": 0},
            "window of seg_xres_cam is 0; give a whole number from 1",
        ),
    ],
)
def test_what_is_no_rule_is_refused_by_its_place(asked, message):
    with pytest.raises(InputError, match=message):
        rules_of([asked])
