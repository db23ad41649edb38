"""What people hand to explain, FlowCallback and score_planted by mistake is named."""

import inspect

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import segtrace
from helpers.guarded import ODD, refusal
from segtrace.tracking.explained import Settings

NET = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
LABEL = torch.zeros(3, 8, 8, dtype=torch.long)
LABEL[1, 2:6, 2:6] = 1
LOADER = DataLoader(TensorDataset(torch.rand(3, 1, 8, 8), LABEL), batch_size=2)
EXPLAIN = {"net": NET, "loader": LOADER, "stages": {"enc": "1"}, "labels": {"box": 1}}
CALLS = {
    segtrace.explain: EXPLAIN,
    segtrace.FlowCallback: {},
    segtrace.score_planted: {"rule": "grad_pam", "checkpoint": "nothing.ckpt"},
    Settings: {"rules": ["grad_pam"]},
}
ARGUED = [(call, name) for call in CALLS for name in inspect.signature(call).parameters]


def refused(call, **given):
    return refusal(call, {**CALLS[call], **given})


@ODD
@pytest.mark.parametrize(("call", "name"), ARGUED, ids=lambda one: getattr(one, "__name__", one))
def test_every_argument_is_guarded(call, name, value):
    """A new argument without a guard fails here."""
    assert name in refused(call, **{name: value})


@pytest.mark.parametrize(
    ("call", "given", "words"),
    [
        (segtrace.explain, {"loader": iter(LOADER)}, "give the loader itself, or list(…) of it"),
        (segtrace.explain, {"loader": (batch for batch in LOADER)}, "which can be read once"),
        (segtrace.explain, {"loader": []}, "loader is empty; give at least one batch"),
        (segtrace.explain, {"loader": "data"}, "loader is 'data'; give batches (image, label)"),
        (segtrace.explain, {"loader": {"image": LABEL}}, "give batches (image, label)"),
        (segtrace.explain, {"loader": torch.rand(3, 1, 8, 8)}, "give batches (image, label)"),
        (segtrace.explain, {"loader": LOADER.dataset}, "(B, C, H, W)"),
        (segtrace.explain, {"loader": [3]}, "the validation loader gives int"),
        (segtrace.explain, {"labels": {}}, "labels is empty: no organ is named"),
        (segtrace.explain, {"labels": ["box"]}, "give a mapping organ -> channel"),
        (segtrace.explain, {"labels": {"box": True}}, "labels['box'] is True"),
        (segtrace.explain, {"net": "net"}, "net is 'net'; give a network"),
        (segtrace.explain, {"stages": "enc"}, "stages is 'enc'; give a list, ['enc']"),
        (segtrace.explain, {"out": True}, "out is True; give the name of a file or folder"),
        (segtrace.explain, {"out": ""}, "out is ''; give the name of a file or folder"),
        (segtrace.explain, {"slices": 0}, "slices is 0; give a whole number from 1"),
        (segtrace.explain, {"slices": True}, "slices is True"),
        (segtrace.explain, {"epoch": -1}, "epoch is -1; give a whole number from 0"),
        (segtrace.explain, {"settings": {"rules": ["grad_pam"]}}, "give a Settings, of segtrace"),
        (segtrace.FlowCallback, {"net": None}, "net is None; give text"),
        (segtrace.FlowCallback, {"organs": {}}, "organs is empty"),
        (segtrace.FlowCallback, {"probes": 0}, "probes is 0; give a whole number from 1"),
        (segtrace.FlowCallback, {"probes": "8"}, "probes is '8'; give a number of slices, or"),
        (segtrace.FlowCallback, {"every_n_epochs": "often"}, "give a number of epochs, or 'auto'"),
        (segtrace.FlowCallback, {"every_n_epochs": True}, "every_n_epochs is True"),
        (segtrace.FlowCallback, {"every_n_epochs": 0}, "every_n_epochs=0"),
        (segtrace.FlowCallback, {"draw_every": 5}, "draw_every is 5; give a mapping"),
        (segtrace.FlowCallback, {"draw_every": {"charts": "5"}}, "draw_every['charts'] is '5'"),
        (segtrace.FlowCallback, {"cut_every": 2.0}, "cut_every is 2.0; give a whole number"),
        (segtrace.FlowCallback, {"training_slices": [LABEL]}, "give a tensor"),
        (segtrace.FlowCallback, {"folder": 3}, "folder is 3; give the name of a file or folder"),
        (segtrace.FlowCallback, {"settings": None}, "give a Settings"),
        (Settings, {"rules": 3}, "rules of Settings is 3; give names of rules"),
        (Settings, {"organs": "liver"}, "organs of Settings is 'liver'; give a list, ['liver']"),
        (Settings, {"stages": ["enc1", 3]}, "a name in stages of Settings is 3"),
        (Settings, {"aggregate": ["max"]}, "aggregate of Settings is ['max']; give a name"),
        (segtrace.score_planted, {"rule": 3}, "rule is 3; give the name of a rule"),
        (segtrace.score_planted, {"checkpoint": None}, "checkpoint is None; give the name of a"),
        (segtrace.score_planted, {}, "nothing.ckpt does not exist"),
        (segtrace.score_planted, {"why": ["margin"]}, "why is ['margin']; give a name"),
    ],
)
def test_a_mistake_is_named_with_what_was_allowed(call, given, words):
    assert words in refused(call, **given)


def test_a_list_of_batches_is_a_loader():
    explained = segtrace.explain(**{**EXPLAIN, "loader": list(LOADER), "slices": 1})
    assert explained.record.scene.slices == (1,)
