"""What people hand to causal functions by mistake is named, with what it may be."""

import inspect

import numpy as np
import pytest
import torch

from helpers import nets as plain_nets
from helpers import routes as nets
from helpers.guarded import ODD, refusal
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.trace import trace
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.faithfulness.ranking import rankings, sizes_of
from segtrace.causal.necessity import necessity
from segtrace.causal.patching import carry, patch
from segtrace.causal.route import route
from segtrace.labelled import tensor
from segtrace.network.sites import sites_of

NET = nets.Routed()
X, TRUTH = nets.blob(4)
SITES = sites_of(NET, nets.ROUTED_STAGES, nets.ROUTED_EDGES)
MEANS = collect(NET, SITES, [X])
ORGAN = {"organ": 1}
CASES = ("a", "b", "c", "d")
SLICES = {"net": NET, "images": X, "truth": TRUTH, "channels": ORGAN}
LOST = necessity(NET, SITES, X, TRUTH, ORGAN, cut="resample", draws=1)

CALLS = {
    collect: {"net": NET, "sites": SITES, "images": [X]},
    sites_of: {"net": NET, "stages": nets.ROUTED_STAGES, "edges": nets.ROUTED_EDGES},
    necessity: {**SLICES, "sites": SITES[:1], "baselines": MEANS},
    route: {**SLICES, "baselines": MEANS, "edges": nets.ROUTED_EDGES, "steps": 1},
    patch: {
        "net": NET, "sites": SITES[:1], "giving": (X, TRUTH), "taking": (X, TRUTH),
        "channels": ORGAN,
    },
    carry: {**SLICES, "sites": SITES[:1], "cases": CASES},
    deletion: {
        **SLICES, "sites": SITES[:1], "baselines": MEANS, "draws": 1, "where": ["anywhere"],
        "flow": trace(NET, nets.ROUTED_STAGES, X, targets.organs(ORGAN, "gt", TRUTH)),
    },
    sizes_of: {"flow": trace(NET, SITES, X, targets.organs(ORGAN, "gt", TRUTH))},
    rankings: {"found": LOST, "predictors": {"lost": tensor(LOST.dice_lost)}, "controls": {}},
}  # fmt: skip
ARGUED = [(call, name) for call in CALLS for name in inspect.signature(call).parameters]


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
        (collect, {"images": X}, "give a list of batches (n, C, H, W), [images]"),
        (collect, {"images": [X.numpy()]}, "a batch of images is a ndarray of shape (4, 1, 8, 8)"),
        (collect, {"images": [X / 0]}, "a batch of images holds 256 values that are NaN or inf"),
        (necessity, {"images": X * torch.nan}, "images holds 256 values that are NaN or infinite"),
        (patch, {"giving": (X * torch.nan, TRUTH)}, "giving[0] holds 256 values that are NaN"),
        (collect, {"images": []}, "baselines of 0 slices"),
        (collect, {"maps": 1}, "maps is 1; give True or False"),
        (necessity, {"sites": []}, "no site is named"),
        (
            necessity,
            {"sites": nets.ROUTED_STAGES},
            "as segtrace.sites_of(net",
        ),
        (necessity, {"sites": ["dec1"]}, "one of sites is 'dec1'; give stages and edges"),
        (necessity, {"images": X.numpy()}, "give a tensor, torch.as_tensor(images)"),
        (necessity, {"images": X[0, 0]}, "take images[None, None]"),
        (necessity, {"truth": None}, "truth is None; give a tensor"),
        (necessity, {"truth": TRUTH[0, 0]}, "give a label map (N, H, W)"),
        (necessity, {"channels": {}}, "no organ is named"),
        (necessity, {"channels": {"organ": "1"}}, "channels['organ'] is '1'"),
        (necessity, {"baselines": MEANS.channels}, "give a Baselines, the result of"),
        (necessity, {"cases": "abcd"}, "cases is 'abcd'; give a list, ['abcd']"),
        (necessity, {"cases": [1, 2, 3, 4]}, "a name in cases is 1; give a name"),
        (necessity, {"draws": 0, "cut": "resample"}, "draws is 0; give a whole number from 1"),
        (necessity, {"draws": True}, "draws is True"),
        (necessity, {"seed": -1}, "seed is -1; give a whole number from 0"),
        (necessity, {"batch": 0}, "batch is 0"),
        (necessity, {"cut": ["zero"]}, "cut is ['zero']; give a name"),
        (route, {"edges": {}}, "edges is empty: no edge is named; give some, or None"),
        (route, {"baselines": None}, "give a Baselines, the result of"),
        (
            route,
            {"truth": TRUTH[:2]},
            "the truth has shape (2, 8, 8); the images ask for (4, 8, 8)",
        ),
        (
            patch,
            {"giving": X},
            "giving is a Tensor of shape (4, 1, 8, 8), torch.float64; give (images, truth)",
        ),
        (patch, {"giving": (X, None)}, "giving[1] is None; give a tensor"),
        (patch, {"absent": None}, "absent is None; give True or False"),
        (carry, {"cases": None}, "cases is None; give a list of names"),
        (carry, {"cases": ["a", "b"]}, "2 cases for 4 slices; give one a slice"),
        (carry, {"truth": TRUTH[:2]}, "the truth has shape (2, 8, 8)"),
        (sizes_of, {"flow": LOST}, "give a Flow, the result of segtrace.trace"),
        (deletion, {"where": []}, "where is empty; give at least one"),
        (deletion, {"where": "outside"}, "where is 'outside'; give a list, ['outside']"),
        (deletion, {"fractions": 0.1}, "fractions is 0.1; give parts of a stage's cells"),
        (deletion, {"fractions": ["0.1"]}, "one of fractions is '0.1'; give a number"),
        (deletion, {"flow": None}, "give a Flow, the result of segtrace.trace"),
        (rankings, {"predictors": {"lost": [1.0]}}, "predictors['lost'] is [1.0]; give a tensor"),
        (rankings, {"found": MEANS}, "give a Necessity, the result of necessity"),
    ],
)
def test_a_mistake_is_named_with_what_was_allowed(call, given, words):
    assert words in refused(call, **given)


@pytest.mark.parametrize("factor", [1.00005, 0.99995])
def test_a_truth_near_whole_numbers_is_read_as_those(factor):
    near = SLICES | {"truth": TRUTH * factor}
    found = necessity(sites=SITES, cut="resample", draws=1, **near)
    assert found.data["whole_dice"].equals(LOST.data["whole_dice"])
    pair = (X, TRUTH), (X, near["truth"])
    one, other = (patch(NET, SITES, given, given, ORGAN) for given in pair)
    assert one.identical(other)


def test_a_truth_between_whole_numbers_is_refused():
    for call in (
        lambda: necessity(sites=SITES, cut="resample", **SLICES | {"truth": TRUTH * 0.5}),
        lambda: deletion(**CALLS[deletion] | {"truth": TRUTH * torch.nan}),
        lambda: patch(NET, SITES, (X, TRUTH * 0.5), (X, TRUTH), ORGAN),
    ):
        with pytest.raises(InputError, match="a label map is made of whole numbers"):
            call()


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_whole_numbers_of_numpy_are_counts_channels_and_seeds(kind):
    net, x, truth = plain_nets.plain(), plain_nets.images(2, 16), plain_nets.labels(2, 16, 3)
    sites, mine, plain = sites_of(net, plain_nets.PLAIN_STAGES, {}), {"a": kind(1)}, {"a": 1}
    one, two = kind(1), kind(2)
    means = [collect(net, sites, [x], batch=count) for count in (one, 1)]
    assert torch.equal(means[0].channels["enc1"], means[1].channels["enc1"])
    cuts = [
        necessity(net, sites, x, truth, channels, cut="resample", draws=draws, seed=1, batch=batch)
        for channels, draws, batch in ((mine, two, one), (plain, 2, 1))
    ]
    assert cuts[0].data.identical(cuts[1].data)
    carried = [
        carry(net, sites, x, truth, channels, cases=["p", "q"], seed=seed, batch=seed)
        for channels, seed in ((mine, one), (plain, 1))
    ]
    assert carried[0].identical(carried[1])
    with pytest.raises(InputError, match=r"batch is .*; give a whole number from 1"):
        collect(net, sites, [x], batch=kind(0))
