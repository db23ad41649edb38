"""What no gradient can be taken through is named, in every function that takes gradients."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import segtrace
from helpers import nets
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.necessity import necessity
from segtrace.causal.vertices import Wiring
from segtrace.network.graph import gradients_of, hear_gradients
from segtrace.network.sites import sites_of

X, TRUTH = nets.images(2, 16), nets.labels(2, 16)
STAGES = {"enc1": "down", "enc2": "deep.0", "head": "last"}
EDGES = {
    "in": {"stage": "enc2", "module": "deep.0", "argument": 0},
    "out": {"stage": "head", "module": "last", "argument": 0},
}
ORGANS = {"liver": 1, "spleen": 2}
TARGET = targets.organs(ORGANS, "gt", TRUTH)


class Checkpointed(nn.Module):
    """A network some of whose parts are checkpointed."""

    def __init__(self, parts=("down", "deep"), reentrant=True, training_alone=False):
        super().__init__()
        self.parts, self.reentrant, self.training_alone = parts, reentrant, training_alone
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True))
            self.deep = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())
            self.last = nn.Conv2d(4, 3, 1)
        self.double().eval()

    def run(self, part, x):
        if part not in self.parts or (self.training_alone and not self.training):
            return getattr(self, part)(x)
        return checkpoint(getattr(self, part), x, use_reentrant=self.reentrant)

    def forward(self, x):
        return self.run("last", self.run("deep", self.run("down", x)))


def trace(net, stages=STAGES):
    return segtrace.trace(net, stages, X, TARGET, ("seg_grad_cam", "grad_pam"))


def integrate(net, stages=STAGES):
    means = {"enc1": torch.zeros(4), "enc2": torch.zeros(4), "head": torch.zeros(3)}
    return segtrace.integrate(net, stages, X, TARGET, means, steps=3)


TAKE_GRADIENTS = {
    "trace": trace,
    "describe": lambda net: segtrace.describe(net, X, STAGES),
    "integrate": integrate,
    "trace edges": lambda net: segtrace.trace(net, {}, X, TARGET, edges=EDGES),
    "cut_vertices": lambda net: Wiring.of(net, sites_of(net, STAGES, {}), X),
    "necessity": lambda net: necessity(
        net, sites_of(net, STAGES, {}), X, TRUTH, ORGANS, cut="zero"
    ),
}


@pytest.mark.parametrize("name", TAKE_GRADIENTS)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_re_entrant_checkpointing_is_named_in_one_line(name):
    with pytest.raises(InputError, match=r"use_reentrant=True.*; say use_reentrant=False") as found:
        TAKE_GRADIENTS[name](Checkpointed())
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["trace", "trace edges", "integrate", "cut_vertices", "necessity"])
def test_what_is_not_re_entrant_or_checkpointed_in_training_alone_gives_the_same(name):
    expected = TAKE_GRADIENTS[name](Checkpointed(parts=()))
    for net in (Checkpointed(reentrant=False), Checkpointed(training_alone=True)):
        found = TAKE_GRADIENTS[name](net)
        for one, other in zip(_tensors(found), _tensors(expected), strict=True):
            torch.testing.assert_close(one, other, equal_nan=True)


def test_describe_finds_no_cut_gradient_in_what_is_checkpointed_without_re_entering():
    described = segtrace.describe(Checkpointed(reentrant=False), X, STAGES)
    assert described.gradient_cut == ()
    assert all(report.gradient for report in described.stages)


def _tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else vars(value).values()
    return [t for one in inner if isinstance(one, dict | torch.Tensor) for t in _tensors(one)]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_stages_behind_what_is_checkpointed_are_explained_as_ever():
    net, plain = Checkpointed(parts=("down",)), Checkpointed(parts=())
    behind = {"enc2": "deep.0", "head": "last"}
    for explain in (trace, integrate):
        found, expected = explain(net, behind), explain(plain, behind)
        torch.testing.assert_close(dict(found.maps), dict(expected.maps))
    # what a checkpointed part puts out as a whole is what the next one gets, but not what is in it
    found, expected = (trace(n, {"enc1": "down"} | behind) for n in (net, plain))
    torch.testing.assert_close(dict(found.maps), dict(expected.maps))
    with pytest.raises(InputError, match=r"stage 'enc1' \(down\.0\) runs under re-entrant"):
        trace(net, {"enc1": "down.0"} | behind)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_cuts_need_no_gradient_and_are_right_outside_what_is_checkpointed():
    places = {"enc1": "down", "enc2": "deep", "head": "last"}
    found, expected = (
        necessity(net, sites_of(net, places, {}), X, TRUTH, ORGANS, cut="zero")
        for net in (Checkpointed(parts=("deep",)), Checkpointed(parts=()))
    )
    assert found.data.identical(expected.data)


def test_the_head_hides_nothing_that_lies_between_it_and_the_other_stages():
    net = Checkpointed()
    with pytest.raises(InputError, match="a part of the network runs under re-entrant"):
        trace(net, {"enc1": "down", "enc2": "deep", "head": "last"})


def test_it_is_named_before_a_target_is_looked_at():
    target = torch.zeros(2, 3, 16, 16)  # no organ is there: no backward pass would find it out
    with pytest.raises(InputError, match="re-entrant"):
        segtrace.trace(Checkpointed(parts=("deep",)), {"enc1": "down"}, X, target)


class Detached(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.down, self.last = how, nn.Conv2d(1, 4, 1), nn.Conv2d(4, 3, 1)
        self.deep = nn.Sequential(nn.Identity())
        self.double()

    def forward(self, x):
        return self.how(self.last(self.deep(self.down(x))))


@pytest.mark.parametrize(
    "how", [torch.Tensor.detach, lambda y: y.data, lambda y: torch.from_numpy(y.detach().numpy())]
)
@pytest.mark.parametrize("name", TAKE_GRADIENTS)
def test_a_detached_output_is_named_in_one_line(name, how):
    with pytest.raises(InputError, match=r"no gradient leads from the logits .*\(detach, "):
        TAKE_GRADIENTS[name](Detached(how))


def test_an_output_that_detaches_is_named_as_well():
    with pytest.raises(InputError, match="no gradient leads"):
        segtrace.trace(nets.plain(), nets.PLAIN_STAGES, X, TARGET, output=torch.Tensor.detach)


def test_a_stage_on_which_nothing_depends_is_still_disconnected_in_a_frozen_network():
    net = Detached(lambda y: y).requires_grad_(False)
    net.forward = lambda x: (net.deep(x), net.last(net.down(x)))[1]
    means = {"aside": torch.zeros(1), "head": torch.zeros(3)}
    flow = segtrace.integrate(net, {"aside": "deep", "head": "last"}, X, TARGET, means, 1)
    assert flow.status[0, 0, 0, 0] == segtrace.attribution.flow.Status.DISCONNECTED
    assert flow.maps["head"].abs().sum() > 0


class Overwriting(nn.Module):
    """What a product needs of a is written over."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 1).double(), nn.Conv2d(4, 3, 1).double()

    def forward(self, x):
        a = self.first(x).sigmoid()
        b = a * a
        a.add_(1)
        return self.last(a + b)


class Inferring(nn.Module):
    """A network whose forward, or whose first module, runs in inference mode."""

    def __init__(self, whole):
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 1).double(), nn.Conv2d(4, 3, 1).double()
        part = self if whole else self.first
        part.forward = torch.inference_mode()(part.forward)

    def forward(self, x):
        return self.last(self.first(x))


def every(net):
    x, truth, stages = nets.images(2, 16), nets.labels(2, 16, 3), {"a": "first"}
    sites, organs, mean = sites_of(net, stages, {}), {"a": 1}, {"a": torch.zeros(4)}
    target = targets.organs(organs, "gt", truth)
    entering = {"b": {"stage": "last", "module": "first"}}
    return {
        "trace": lambda: segtrace.trace(net, stages, x, target),
        "describe": lambda: segtrace.describe(net, x, stages),
        "integrate": lambda: segtrace.integrate(net, stages, x, target, mean, 1),
        "trace edges": lambda: segtrace.trace(net, {}, x, target, edges=entering),
        "necessity": lambda: necessity(net, sites, x, truth, organs, cut="zero"),
    }


@pytest.mark.parametrize("name", ["trace", "describe", "integrate", "trace edges"])
def test_a_network_that_overwrites_what_a_gradient_needs_is_refused_in_one_line(name):
    net = Overwriting()
    with pytest.raises(
        InputError, match=r"^the network overwrites in place what its grad"
    ) as found:
        every(net)[name]()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        *product(["trace", "describe", "trace edges", "necessity"], [True, False]),
        ("integrate", True),  # what stands behind the part has its gradient
    ],
)
def test_a_network_that_runs_in_inference_mode_is_refused_in_one_line(name, whole):
    with pytest.raises(InputError, match=r"^a part of the network runs in inference mode, which"):
        every(Inferring(whole))[name]()


class Branches(nn.Module):
    """The image itself, two halves of one tensor, one tensor under two names, and one unused."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.double()

    def forward(self, x):
        whole = self.first(x)
        one, other = whole.chunk(2, 1)
        idle = whole.sin()
        joined = torch.cat([one.tanh(), other * one], 1)
        logits = self.last(joined + whole)
        return {"image": x, "one": one, "other": other, "whole": whole, "again": whole,
                "idle": idle, "joined": joined, "logits": logits}  # fmt: skip


@pytest.mark.parametrize("names", [None, ("one", "other"), ("again", "joined"), ("logits",),
                                   ("idle", "one")])  # fmt: skip
def test_gradients_that_are_told_are_those_that_are_returned(names):
    found = Branches()(X[:, :1].clone().requires_grad_())
    tensors = {name: found[name] for name in names or found}
    weights = torch.rand(found["logits"].shape, dtype=torch.float64)
    told = {}
    hear_gradients(found["logits"], tensors, weights, lambda name, g: told.update({name: g}))
    returned = gradients_of(found["logits"], list(tensors.values()), weights)
    expected = {name: g for name, g in zip(tensors, returned, strict=True) if g is not None}
    assert told.keys() == expected.keys() == tensors.keys() - {"idle"}
    for name, gradient in expected.items():
        assert torch.equal(told[name], gradient), name
    assert not any(one._backward_hooks for one in tensors.values())
