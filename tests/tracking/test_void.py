"""What instance normalisation makes void is said in one sentence, and another rule leads."""

import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from helpers.plain_conv_unet import STAGES, first, plain_conv_unet
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.tracking.explained import DEFAULT, Settings
from segtrace.tracking.void import void_told

X = nets.images(2, 32)


def test_the_stages_are_those_at_which_a_trace_finds_no_average():
    net = plain_conv_unet()
    settings, line = void_told(net, STAGES, X, DEFAULT, first)
    flow = segtrace.trace(net, STAGES, X, targets.organ(1, "all"), output=first)
    void = int((flow.status[:, 0, 0, 0] == Status.GAP_DEGENERATE).sum())
    assert void == 6
    assert line == (
        "At 6 of 8 stages Seg-Grad-CAM is void, since instance normalisation cancels the averaged "
        "gradient; Grad-PAM is the rule to read"
    )
    assert settings.rule_names == ("grad_pam", "seg_grad_cam")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["seg_grad_cam"], "read another one: rules=[seg_grad_cam,grad_pam]"),
        (["grad_pam", "seg_grad_cam"], "Grad-PAM is the rule to read"),
        (["grad_pam"], None),
    ],
)
def test_an_order_that_was_asked_for_stays(rules, said):
    settings, line = void_told(plain_conv_unet(), STAGES, X, Settings(rules=rules), first)
    assert list(settings.rule_names) == rules
    assert line is said is None or line.endswith(said)


def test_nothing_is_said_of_batch_normalisation():
    settings, line = void_told(nets.basic_unet(), None, X, DEFAULT)
    assert (settings, line) == (DEFAULT, None)


def test_the_rule_to_read_leads_in_what_explain_returns(capsys):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1)
    )
    label = torch.zeros(2, 16, 16, dtype=torch.long)
    label[:, 3:9, 3:9] = 1
    batches = [(torch.rand(2, 1, 16, 16), label)]
    explained = segtrace.explain(net, batches, {"enc1": "1", "head": "3"}, {"box": 1})
    assert explained.record.flow.rules == ("grad_pam", "seg_grad_cam")
    assert capsys.readouterr().out.count("At 1 of 2 stages Seg-Grad-CAM is void") == 1
