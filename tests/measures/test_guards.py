"""What people hand to measures by mistake is named, with what it may be."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from helpers.guarded import ODD, refusal
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.measures.change import between_epochs, between_stages
from segtrace.measures.emergence import emergence
from segtrace.measures.leakage import leakage
from segtrace.measures.localisation import measure, over_slices, readable
from segtrace.measures.locality import locality, parts
from segtrace.measures.over_cases import over_runs

NET = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
TRUTH = torch.zeros(2, 8, 8, dtype=torch.long)
TRUTH[:, 1:4, 1:4] = 1
TRUTH[:, 5:8, 5:8] = 2
FLOW = trace(NET, {"enc1": "1", "dec1": "2"}, torch.rand(2, 1, 8, 8),
             targets.organs({"a": 1, "b": 2}, "gt", TRUTH))  # fmt: skip
MASKS = torch.stack([TRUTH == 1, TRUTH == 2])
MEASURED = measure(FLOW, MASKS)
LEAK = leakage(FLOW, MASKS)

CALLS = {
    measure: {"flow": FLOW, "masks": MASKS},
    readable: {"measured": MEASURED},
    over_slices: {"measured": MEASURED},
    leakage: {"flow": FLOW, "masks": MASKS},
    between_stages: {"flow": FLOW},
    between_epochs: {"earlier": FLOW, "later": FLOW},
    emergence: {"epochs": [0, 1, 2], "gain": [0.0, 0.5, 0.9], "untrained_largest": 0.1},
    over_runs: {"runs": [torch.rand(3), torch.rand(3)]},
    locality: {"first": FLOW, "second": FLOW},
    parts: {"masks": MASKS},
}  # fmt: skip
FREE = {(leakage, "known")}  # filled by the program itself
ARGUED = [
    (call, name)
    for call in CALLS
    for name in inspect.signature(call).parameters
    if (call, name) not in FREE
]


def refused(call, **given):
    return refusal(call, {**CALLS[call], **given})


@ODD
@pytest.mark.parametrize(("call", "name"), ARGUED, ids=lambda one: getattr(one, "__name__", one))
def test_every_argument_is_guarded(call, name, value):
    """A new argument without a guard fails here."""
    assert name in refused(call, **{name: value})


def test_what_is_right_passes():
    for call, given in CALLS.items():
        call(**given)


@pytest.mark.parametrize(
    ("call", "given", "words"),
    [
        (measure, {"flow": FLOW.maps}, "give a Flow, the result of segtrace.trace"),
        (measure, {"masks": MASKS.numpy()}, "give a tensor, torch.as_tensor(masks)"),
        (measure, {"masks": MASKS[0]}, "give masks (organs, slices, H, W)"),
        (measure, {"masks": MASKS[:1]}, "the masks have shape (1, 2, 8, 8)"),
        (measure, {"spacing": torch.ones(3, 2)}, "the spacing has shape (3, 2); (2, 2) is needed"),
        (measure, {"measures": ["all"]}, "measures is ['all']; give a name"),
        (measure, {"parts": FLOW}, "give two flows, (first, second)"),
        (over_slices, {"measured": {}}, "measured is {}; give a Dataset, as measure(…) returns it"),
        (over_slices, {"measured": MEASURED[["gain"]]}, "no measure 'area'"),
        (over_slices, {"measured": MEASURED[[]]}, "give a Dataset, as measure(…) returns it"),
        (readable, {"measured": MEASURED.drop_vars("status")}, "give a Dataset, as measure(…)"),
        (leakage, {"columns": "a"}, "columns is 'a'; give a list, ['a']"),
        (between_stages, {"size": 8}, "size is 8; give (rows, columns) or (planes, rows, columns)"),
        (between_stages, {"size": (8, 0)}, "size is (8, 0); give (rows, columns)"),
        (leakage, {"mirror": 0.5}, "mirror is 0.5; give a whole number"),
        (emergence, {"gain": ["0", "1", "2"]}, "gain is ['0', '1', '2']; give a list of numbers"),
        (emergence, {"epochs": 3}, "epochs is 3; give a list of whole numbers"),
        (emergence, {"untrained_largest": True}, "untrained_largest is True; give a number"),
        (over_runs, {"runs": []}, "runs is []; give a list of tensors"),
        (over_runs, {"runs": [torch.rand(2), torch.rand(3)]}, "the shapes [(2,), (3,)]"),
        (parts, {"masks": TRUTH}, "give masks (organs, slices, H, W)"),
    ],
)
def test_a_mistake_is_named_with_what_was_allowed(call, given, words):
    assert words in refused(call, **given)


def test_masks_of_numbers_are_taken_as_masks():
    for one, other in zip(parts(MASKS), parts(MASKS.float()), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("call", [measure, leakage, parts])
def test_masks_that_hold_more_than_0_and_1_are_refused(call):
    for masks, value in ((MASKS.long() * 2, "2"), (MASKS * 0.5, "0.5"), (MASKS * torch.nan, "nan")):
        words = refused(call, masks=masks)
        assert f"masks hold {value}; masks are bool, or 0 and 1" in words


def test_masks_of_numbers_are_measured_as_masks():
    for kind in (torch.uint8, torch.long, torch.float32):
        found = measure(FLOW, MASKS.to(kind))
        assert found.identical(MEASURED)


def test_a_curve_in_an_array_is_left_as_it_was():
    curve = np.array([np.nan, 0.5, 0.9])
    emergence(range(3), curve, 0.1)
    assert np.isnan(curve[0])
