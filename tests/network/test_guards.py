"""What people hand to attribution by mistake: one line that names it and what it may be."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import segtrace
from segtrace import InputError
from segtrace.attribution import rules, targets
from segtrace.attribution.aggregate import aggregate
from segtrace.attribution.rules import Rule
from segtrace.network import edges, stages
from segtrace.network.edges import Edge
from segtrace.network.guards import ARGUMENTS
from segtrace.network.stages import Stage


class Small(nn.Module):
    """Convolution, batch normalisation, pooling, and the way back up."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2)
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(self.up(self.deep(self.down(x))))


NET = Small().eval()
S = {"enc1": "down", "enc2": "deep", "head": "last"}
X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TRUTH = torch.zeros(2, 8, 8, dtype=torch.long)
TRUTH[:, 2:6, 2:6] = 1
T = targets.organ(1, "gt", TRUTH)
FLOW = segtrace.trace(NET, S, X, T)
ACT = torch.rand(2, 3, 4, 4)

CALLS = {
    segtrace.trace: {"net": NET, "stages": S, "image": X, "target": T},
    segtrace.integrate: {
        "net": NET, "stages": {"enc2": "deep"}, "image": X, "target": T,
        "baseline": {"enc2": torch.zeros(4)}, "steps": 1,
    },
    segtrace.describe: {"net": NET, "image": X, "stages": S},
    stages.resolve: {"net": NET, "stages": S},
    edges.resolve: {"net": NET, "edges": {}},
    aggregate: {"flow": FLOW, "stages": ["enc1"]},
    targets.organ: {"channel": 1},
    targets.organs: {"channels": {"liver": 1}},
    targets.margin: {"channel": 1, "against": 2},
    targets.component: {"channel": 1},
    targets.masked: {"channel": 1, "mask": TRUTH},
    rules.seg_xres_cam: {},
    rules.resolve: {"rules": ["grad_pam"]},
}  # fmt: skip
ARGUED = [(call, name) for call in CALLS for name in inspect.signature(call).parameters]


class Odd:
    """Something that nothing takes."""


@pytest.mark.parametrize("value", [Odd(), b"x", 1j], ids=["object", "bytes", "complex"])
@pytest.mark.parametrize(("call", "name"), ARGUED, ids=lambda one: getattr(one, "__name__", one))
def test_every_argument_is_guarded(call, name, value):
    """A new argument without a guard fails here."""
    with pytest.raises(InputError) as caught:
        call(**{**CALLS[call], name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_right_passes():
    for call, given in CALLS.items():
        call(**given)


def trace(**given):
    return segtrace.trace(**{**CALLS[segtrace.trace], **given})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"net": 3}, "net is 3; give a network, a torch.nn.Module"),
        ({"net": Small}, "net is the class Small; call it: Small(…)"),
        ({"net": None}, "net is None; give a network"),
        ({"net": lambda x: x}, "give a network, a torch.nn.Module"),
        ({"stages": 3}, "stages is 3; give a list of names"),
        ({"stages": "enc1"}, "stages is 'enc1'; give a list, ['enc1']"),
        ({"stages": "prposed"}, "no stages 'prposed'; allowed are proposed, a mapping, a list of"),
        ({"stages": "prostate"}, "stages is 'prostate'; give a list, ['prostate']"),
        ({"stages": {}}, "no stage is named"),
        ({"stages": []}, "are not in the table"),
        ({"stages": [3]}, "a name in stages is 3; give a name, as text"),
        ({"stages": {3: "down"}}, "a name in stages is 3; give a name, as text"),
        ({"stages": {"enc1": 3}}, "stage 'enc1' is 3; give a module path"),
        ({"stages": {"enc1": {"module": 3}}}, "module of stage 'enc1' is 3; give a name"),
        (
            {"stages": {"enc1": {"module": "down", "layout": ["nhwc"]}}},
            "layout of stage 'enc1' is ['nhwc']",
        ),
        ({"stages": iter(["enc1"])}, "give a list of names"),
        (
            {"image": X.numpy()},
            "image is a ndarray of shape (2, 1, 8, 8), float32; give a tensor, "
            "torch.as_tensor(image)",
        ),
        ({"image": 3}, "image is 3; give a tensor"),
        ({"image": [X]}, "give a tensor"),
        ({"image": X[0, 0]}, "of one slice (H, W) take image[None, None]"),
        ({"image": torch.rand(1, 1, 1, 1, 4, 4)}, "give slices (N, C, H, W) or volumes"),
        ({"image": X[:0]}, "give at least one slice with at least one pixel"),
        ({"image": X + 1j}, "give a dense tensor of real numbers"),
        ({"target": 1}, "target is 1; give a target, e.g. targets.organ(1)"),
        ({"target": None}, "target is None; give a target of segtrace.attribution.targets"),
        ({"target": {}}, "no organ is named"),
        ({"target": {"liver": 1}}, "target['liver'] is 1; give a target, e.g. targets.organ(1)"),
        ({"target": {1: T}}, "an organ in target is 1; give a name, as text"),
        ({"target": np.ones((2, 3, 8, 8))}, "give a tensor, torch.as_tensor(target)"),
        ({"target": lambda logits: None}, "the target of 'target' returns None; a tensor of the"),
        ({"target": Small}, "give a target of segtrace.attribution.targets"),
        ({"rules": 3}, "rules is 3; give names of rules"),
        ({"rules": [3]}, "one of rules is 3; give the name of a rule"),
        ({"rules": [["grad_pam"]]}, "one of rules is ['grad_pam']"),
        ({"rules": []}, "rules are []; give at least one"),
        ({"rules": iter([3])}, "a rule is 3; give the name of a rule"),
        ({"rules": lambda a, g: None}, "rule '<lambda>' returns None; (2, 8, 8) is needed"),
        ({"rules": lambda a, g: a}, "returns a Tensor of shape (2, 3, 8, 8), torch.float32"),
        ({"score": 3}, "score is 3; give a name"),
        ({"score": ["logit"]}, "score is ['logit']; give a name"),
        ({"output": 0.5}, "output is 0.5; give an index, key or field of what the network returns"),
        ({"output": ""}, "output is ''; give an index, key or field of what the network returns"),
        ({"output": "my:pick"}, "here give it itself: from my import pick, and output=pick"),
        ({"gradient_cut": "enc1"}, "gradient_cut is 'enc1'; give a list, ['enc1']"),
        ({"batch": True}, "batch is True; give a whole number from 1"),
        ({"batch": 2.0}, "batch is 2.0; give a whole number from 1"),
        ({"batch": 10**40}, "give a whole number from 1"),
    ],
)
def test_a_trace_of_what_is_none_names_it(given, words):
    with pytest.raises(InputError) as caught:
        trace(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: segtrace.integrate(**{**CALLS[segtrace.integrate], "steps": True}),
         "steps is True; give a whole number from 1"),
        (lambda: segtrace.integrate(**{**CALLS[segtrace.integrate], "joint": 1}),
         "joint is 1; give True or False"),
        (lambda: segtrace.integrate(**{**CALLS[segtrace.integrate], "baseline": {"enc2": 0.0}}),
         "baseline['enc2'] is 0.0; give a tensor"),
        (lambda: segtrace.integrate(**{**CALLS[segtrace.integrate], "baseline": {}}),
         "no baseline of 'enc2'"),
        (lambda: targets.organ(True), "channel is True; give the number of a channel"),
        (lambda: targets.organ(1.0), "channel is 1.0; give the number of a channel"),
        (lambda: targets.organ("liver"), "channel is 'liver'; give the number of a channel"),
        (lambda: targets.organ(1, "gt", TRUTH.numpy()), "torch.as_tensor(truth)"),
        (lambda: targets.organ(1, ["gt"]), "region is ['gt']; give a name"),
        (lambda: targets.organs({}), "channels is empty: no organ is named"),
        (lambda: targets.organs(["liver"]), "give a mapping organ -> channel"),
        (lambda: targets.organs({"liver": "1"}), "channels['liver'] is '1'; give the number"),
        (lambda: targets.component(1, -1), "which is -1; give 'largest', 'smallest', a number"),
        (lambda: targets.component(1, True), "which is True"),
        (lambda: targets.pixel(1, 2.5, 3), "one of place is 2.5; give a whole number"),
        (lambda: targets.pixel(1, (2, 3)), "one of place is (2, 3); give a whole number"),
        (lambda: targets.box(1, 2, 3), "one of ranges is 2; give (start, stop)"),
        (lambda: targets.box(1, (0, 2.5), (0, 3)), "one of ranges is (0, 2.5)"),
        (lambda: rules.seg_grad_cam(ACT, ACT.numpy()), "torch.as_tensor(gradient)"),
        (lambda: rules.grad_pam(ACT, ACT[:1]), "(2, 3, 4, 4) and (1, 3, 4, 4); give those of one"),
        (lambda: rules.layer_cam(ACT[0, 0], ACT[0, 0]), "give those of one stage, (N, K, *cells)"),
        (lambda: rules.grad_pam(ACT.int(), ACT.int()), "floating-point numbers; say .float()"),
        (lambda: rules.seg_xres_cam(True), "window is True; give a whole number"),
        (lambda: rules.seg_xres_cam(2, ["mean"]), "mode is ['mean']; give a name"),
        (lambda: Rule(3, rules.element_wise), "name of Rule is 3; give a name"),
        (lambda: Rule("mine", "mean"), "weigh of rule 'mine' is 'mean'; give a function"),
        (lambda: Rule("mine", rules.element_wise, averages=1), "averages of rule 'mine' is 1"),
        (lambda: Rule("mine", rules.element_wise, title=3), "title of rule 'mine' is 3; give text"),
        (lambda: rules.OwnRule("mine", rules.element_wise, map=3), "map of ownrule 'mine' is 3"),
        (lambda: Rule("mine", lambda g, s: 3)(ACT, ACT), "weigh of rule 'mine' returns 3; weights"),
        (lambda: Rule("mine", lambda g, s: g[:1])(ACT, ACT), "weigh of rule 'mine' returns a Ten"),
        (lambda: Rule(X, rules.element_wise), "name of Rule is a Tensor of shape (2, 1, 8, 8)"),
        (lambda: Stage("", "down"), "name of Stage is ''; give a name"),
        (lambda: Edge("skip_1", "dec1", None), "module of edge 'skip_1' is None"),
        (lambda: Edge("skip_1", "dec1", "dec", 1.5), "argument of edge 'skip_1' is 1.5"),
        (lambda: aggregate(FLOW.maps), "give a Flow, the result of segtrace.trace"),
        (lambda: aggregate(FLOW, "enc1"), "stages is 'enc1'; give a list, ['enc1']"),
        (lambda: aggregate(FLOW, ["enc1"], "weighted", {"enc1": "1"}), "weights['enc1'] is '1'"),
        (lambda: segtrace.describe(NET, X, "enc1"), "stages is 'enc1'; give a list, ['enc1']"),
        (lambda: segtrace.describe(X, NET), "net is a Tensor of shape (2, 1, 8, 8)"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_was_allowed(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_numpy_are_whole_numbers():
    flow = trace(target=targets.organ(np.int64(1), "gt", TRUTH), batch=np.int32(1))
    assert torch.equal(flow.maps["enc2"], trace(batch=1).maps["enc2"])


def test_the_table_speaks_of_arguments_that_there_are():
    from segtrace.causal import necessity, patching, route
    from segtrace.causal.faithfulness import deletion

    modules = (deletion, necessity, patching, route, targets, rules, stages)
    names = {
        name
        for module in modules
        for function in vars(module).values()
        if inspect.isfunction(function)
        for name in inspect.signature(function).parameters
    }
    names |= {name for _, name in ARGUED} | {"maps"}
    assert set(ARGUMENTS) <= names


def test_a_truth_near_whole_numbers_is_read_as_those():
    for factor in (1.00005, 0.99995):
        near = TRUTH * factor
        several = targets.organs({"a": 1}, "gt", near)["a"]
        for target in (several, targets.organ(1, "gt", near), targets.margin(1, 0, "gt", near)):
            assert trace(target=target).region_px.tolist() == [[16, 16]]


def test_a_truth_between_whole_numbers_is_refused():
    for wrong in (TRUTH * 0.5, torch.where(TRUTH > 0, torch.nan, 0.0)):
        with pytest.raises(
            InputError, match=r"truth holds (0.5|nan); a label map is made of whole"
        ):
            targets.organs({"a": 1}, "gt", wrong)


def test_channels_of_any_library_are_kept_as_plain_numbers():
    assert type(targets.organ(np.int64(1), "all").organ) is int
    assert type(ARGUMENTS["channels"]("organs", {"a": np.int64(1)})["a"]) is int
