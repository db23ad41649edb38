"""Every remedy that a message of attribution/ or causal/ names is typed here once, and works."""

import ast
import inspect
import re
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import segtrace
from helpers import nets, plain_conv_unet
from helpers import routes as known
from helpers.own_nets import UNet, own
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.attribution.aggregate import aggregate
from segtrace.attribution.rules import seg_xres_cam
from segtrace.causal.baselines import collect
from segtrace.causal.faithfulness.deletion import deletion
from segtrace.causal.faithfulness.pixels import pixels
from segtrace.causal.faithfulness.ranking import rankings, sizes_of
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.causal.patching import carry, patch
from segtrace.network import edges, joints
from segtrace.network.altering import altering
from segtrace.network.sites import sites_of

SOURCE = Path(segtrace.__file__).parent
X = nets.images(2, 16)
TRUTH = nets.labels(2, 16, 3)
ORGANS = {"a": 1, "b": 2}
STAGES = nets.PLAIN_STAGES
TARGET = targets.organs(ORGANS, "gt", TRUTH)
REMEDIES = {}
GIVEN = {"segtrace": segtrace}


def remedy(function):
    """One remedy: the message, which the function returns after it has typed what it says."""
    REMEDIES[function.__name__] = cache(function)
    return function


def mistake(function, *arguments, **options):
    """The one line that is said."""
    with pytest.raises(InputError) as found:
        function(*arguments, **options)
    said = str(found.value)
    assert "\n" not in said
    return said


def trace(net=None, **change):
    options = {"stages": STAGES, "image": X, "target": TARGET} | change
    return segtrace.trace(net or nets.plain(), **options)


def between(said, start, end=None):
    """What a message says to type."""
    typed = said.split(start, 1)[1]
    return typed if end is None else typed.split(end, 1)[0]


def calls(net, sites, means=None, **options):
    options = {"cut": "zero"} | options
    return necessity(net, sites, X, TRUTH, ORGANS, means, **options)


def plain_sites():
    net = nets.plain()
    return net, sites_of(net, STAGES, {})


@remedy
def stages_of_a_network_of_no_table():
    said = mistake(trace, stages=None)
    typed = eval(between(said, "stages=", ", …}") + "}")
    path = between(said, "its modules are ").split(" (")[0]
    trace(stages=dict.fromkeys(typed, path))
    with pytest.warns(UserWarning, match="are a proposal"):
        trace(stages=eval(between(said, "say stages=", " to take")))
    print(eval(between(said, "print(", ") proposes"), GIVEN | {"net": nets.plain(), "image": X}))
    return said


@remedy
def edges_of_a_network_of_no_table():
    net = known.Routed()
    said = mistake(sites_of, net, known.ROUTED_STAGES)
    typed = eval(between(said, "edges=", ", …}") + "}")
    typed["skip_1"]["module"] = between(said, "its modules are ").split(" (")[0]
    assert "dec (Join)" in said
    typed["skip_1"]["module"] = "dec"
    assert [site.name for site in sites_of(net, known.ROUTED_STAGES, typed)][-1] == "skip_1"
    assert len(sites_of(net, known.ROUTED_STAGES, eval(between(said, "or edges=", " for")))) == 4
    return said


@remedy
def a_module_that_is_not_there():
    said = mistake(trace, nets.basic_unet(), stages={"a": "conv_O"}, image=nets.images(2, 32))
    nearest = between(said, "did you mean ", ",").strip("?")
    target = targets.organ(1, "all")
    trace(nets.basic_unet(), stages={"a": nearest}, image=nets.images(2, 32), target=target)
    return said


@remedy
def a_stage_that_is_no_path():
    said = mistake(trace, stages={"a": 3})
    trace(stages={"a": "1"})
    trace(stages={"a": {"module": "1", "layout": "nchw"}})
    return said


@remedy
def no_stage():
    said = mistake(trace, stages={})
    trace(stages={"one": "1"})
    return said


class Pairs(nn.Module):
    """A module that returns two tensors, and one that runs twice."""

    def __init__(self):
        super().__init__()
        self.pair, self.twice = Two(), nn.Identity()
        self.double()

    def forward(self, x):
        return self.twice(self.twice(self.pair(x)[0]))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1)

    def forward(self, x):
        return self.conv(x), x


@remedy
def a_stage_that_returns_two_tensors():
    said = mistake(trace, Pairs(), stages={"a": "pair"})
    trace(Pairs(), stages={"a": "pair.conv"})  # a module inside it
    return said


@remedy
def a_stage_that_runs_twice():
    said = mistake(trace, Pairs(), stages={"a": "twice"})
    trace(Pairs(), stages={"a": "pair.conv"})
    return said


@remedy
def a_scripted_stage():
    net = nets.plain()
    whole = nn.Sequential(torch.jit.script(net[:3]), net[3:])
    said = mistake(trace, whole, stages={"a": "0.1"})
    assert between(said, "module ", " is") == "'0'"
    whole[0] = net[:3]  # the module itself there
    trace(whole, stages={"a": "0.1"})
    return said


@remedy
def a_scripted_network():
    net = own(UNet)
    said = mistake(segtrace.describe, torch.jit.script(net), X)
    assert "as it was before torch.jit.script" in said
    segtrace.describe(net, X)
    return said


@remedy
def the_layout_of_a_stage():
    said = mistake(trace, stages={"a": {"module": "1", "layout": "chw"}})
    names = between(said, "allowed are ", ", e.g.").replace(" and ", ", ").split(", ")
    assert names[:2] == ["nchw", "nhwc"]
    trace(stages={"a": {"module": "1", "layout": names[0]}})
    return said


@remedy
def no_target():
    said = mistake(trace, target={})
    trace(target={"a": TARGET["a"]})
    return said


@remedy
def the_way_to_pick_the_logits():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.once = nets.plain(), nn.Identity()

        def forward(self, x):
            return {"out": self.once(self.inner(x)), "aux": self.inner(x + 1)}

    places = {"head": "once"}
    said = mistake(trace, Net(), stages=places)
    trace(Net(), stages=places, output=eval(between(said, "e.g. output=", ", or")))
    return said


@remedy
def an_output_that_is_not_there():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nets.plain()

        def forward(self, x):
            return {"out": self.inner(x)}

    places = {"enc1": "inner.1"}
    said = mistake(trace, Net(), stages=places, output="ou")
    trace(Net(), stages=places, output=between(said, "did you mean ", "?"))
    return said


@remedy
def logits_with_an_axis_more():
    net = nn.Sequential(nets.plain(), nn.Unflatten(1, (1, 3)))
    said = mistake(trace, net, stages={"enc1": "0.1"})
    typed = between(said, "e.g. output=", ", or")
    one_of_one = segtrace.trace(
        net, {"enc1": "0.1"}, X, targets.organ(0, "all"), output=eval(typed)
    )
    assert one_of_one.maps["enc1"].shape[2] == 2
    return said


@remedy
def logits_whose_channels_stand_last():
    net = Runs(lambda inner, x: inner(x).movedim(1, -1))
    said = mistake(trace, net, stages={"a": "inner.1"})
    trace(net, stages={"a": "inner.1"}, output=eval(between(said, "output=", ", or")))
    return said


@remedy
def logits_of_a_turned_image():
    options = {"stages": {"a": "inner.1"}, "target": targets.organ(1, "all"), "image": X[..., :4]}
    turned = Runs(lambda inner, x: inner(x).mT)
    said = mistake(trace, turned, **options)
    trace(turned, **options, output=lambda out: out.mT)
    return said


@remedy
def an_image_with_other_channels():
    net = nn.Sequential(nn.Conv2d(3, 1, 1).double(), nets.plain())
    said = mistake(trace, net, stages={"enc1": "1.1"})
    trace(net, stages={"enc1": "1.1"}, image=eval(between(said, "e.g. "), {"image": X}))
    return said


@remedy
def an_image_of_another_rank():
    said = mistake(trace, image=X[:, :, None])
    slices = X[:, :, None][:, :, 0]  # (N, C, H, W)
    trace(image=slices)
    return said


@remedy
def an_image_of_a_side_that_does_not_fit():
    net = plain_conv_unet.plain_conv_unet()
    options = {"stages": plain_conv_unet.STAGES, "output": plain_conv_unet.first}
    options["target"] = targets.organ(1, "all")
    said = mistake(trace, net, image=nets.images(2, 30), **options)
    side = int(between(said, "e.g. ", " x"))
    trace(net, image=nets.images(2, side), **options)
    return said


def activation(said):
    """``activation=…``, as a message says it."""
    return eval(f"dict({between(said, 'say ', ' (for train.py')})")


@remedy
def one_channel():
    options = {"target": targets.organs({"a": 1}, "gt", TRUTH)}
    said = mistake(trace, nets.plain(1), activation="softmax", **options)
    trace(nets.plain(1), **activation(said), **options)
    return said


@remedy
def a_label_of_the_background():
    said = mistake(trace, nets.plain(1), target=targets.organs({"a": 0}, "gt", TRUTH))
    typed = eval(between(said, "say ", " for its channel"))
    trace(nets.plain(1), target=targets.organs(typed, "gt", TRUTH))
    return said


@remedy
def fewer_organs_than_channels():
    options = {"activation": "sigmoid"}
    said = mistake(trace, target=targets.organs({"a": 1}, "gt", TRUTH), **options)
    typed = eval(between(said, "the channel of each, ").split(" (for explain.py")[0])
    trace(target=targets.organs(typed, "gt", TRUTH), **options)
    return said


@remedy
def two_activations():
    target = targets.organ(1, activation="sigmoid")
    said = mistake(trace, target=target, activation="softmax")
    trace(target=target)  # said once
    return said


@remedy
def a_centred_sigmoid():
    target = targets.organ(1, activation="sigmoid")
    said = mistake(trace, target=target, score="centered")
    trace(target=target, score=eval(between(said, "score=")))
    return said


@remedy
def masks_of_classes():
    masks = nn.functional.one_hot(TRUTH, 3).movedim(-1, 1) * torch.tensor([0, 1, 1])[:, None, None]
    target = targets.organ(1, "gt", masks)
    said = mistake(trace, target=target)
    trace(target=target, **activation(said))
    return said


@remedy
def several_sigmoids():
    net, places = Runs(lambda inner, x: inner(x).sigmoid()), {"enc1": "inner.1"}
    said = mistake(trace, net, stages=places, target=targets.organ(1))
    output = eval(between(said, "output=", ";"))
    trace(net, stages=places, target=targets.organ(1), output=output, **activation(said))
    trace(net, stages=places, target=targets.organ(1), output=output)
    return said


@remedy
def what_a_sigmoid_put_out():
    net, places = Runs(lambda inner, x: inner(x).sigmoid()), {"enc1": "inner.1"}
    options = {"stages": places, "target": targets.organ(1), "activation": "sigmoid"}
    said = mistake(trace, net, **options)
    trace(net, output=eval(between(said, "output=", " (where")), **options)
    return said


@remedy
def a_softmax_of_a_softmax():
    net, places = Runs(lambda inner, x: inner(x).softmax(1)), {"enc1": "inner.1"}
    said = mistake(trace, net, stages=places, score="prob")
    with warnings.catch_warnings(
        action="ignore", category=UserWarning
    ):  # it is said what maps show
        trace(net, stages=places, score=eval(between(said, "score=", ",")))
    trace(net, stages=places, score="prob", output=eval(between(said, "output=", " (where")))
    return said


@remedy
def a_truth_of_one_more_axis():
    said = mistake(trace, target=targets.organs(ORGANS, "gt", TRUTH[:, None] > 0))
    typed = eval(between(said, "channel numbers: "), {"truth": TRUTH[:, None] > 0})
    trace(target=targets.organs(ORGANS, "gt", typed))
    return said


@remedy
def a_region_without_a_truth():
    said = mistake(targets.organ, 1, "gt")
    trace(target=targets.organ(1, "gt", TRUTH))
    return said


@remedy
def a_box_outside_the_image():
    said = mistake(trace, target=targets.box(1, (0, 99), (0, 4)))
    trace(target=targets.box(1, (0, 16), (0, 4)))
    return said


@remedy
def batches():
    said = mistake(trace, batch=0)
    trace(batch=1)
    trace(batch=None)
    return said


@remedy
def rules_twice():
    said = mistake(trace, rules=["grad_pam", "grad_pam"])
    trace(rules=["grad_pam"])
    return said


@remedy
def a_window_of_no_cells():
    said = mistake(seg_xres_cam, 0)
    trace(rules=seg_xres_cam(1))
    return said


@remedy
def half_precision():
    net = nets.plain().half()
    said = mistake(trace, net)
    exec(between(said, "call "))
    trace(net)
    return said


@remedy
def weights_made_in_inference_mode():
    with torch.inference_mode():
        net = nn.Sequential(nn.Conv2d(1, 3, 1))
    said = mistake(trace, net, stages={"a": "0"})
    trace(nn.Sequential(nn.Conv2d(1, 3, 1)), stages={"a": "0"})
    return said


@remedy
def weights_that_are_not_made_yet():
    net, image = nn.Sequential(nn.LazyConv2d(3, 1)), X.float()
    said = mistake(trace, net, stages={"a": "0"}, image=image)
    eval(between(said, "first: "))
    trace(net, stages={"a": "0"}, image=image)
    return said


@remedy
def weights_on_the_meta_device():
    net = nets.plain().to("meta")
    said = mistake(trace, net)
    eval(between(said, "make them: ", ", and"))
    net.load_state_dict(nets.plain().state_dict())
    trace(net)
    return said


class Runs(nn.Module):
    """A network whose parts a test may run in its own way."""

    def __init__(self, how):
        super().__init__()
        self.first, self.inner, self.how = nn.Conv2d(1, 1, 1).double(), nets.plain(), how

    def forward(self, x):
        return self.how(self.inner, self.first(x))


@remedy
def re_entrant_checkpointing():
    places = {"first": "first", "enc1": "inner.1"}
    options = {"use_reentrant": True}
    net = Runs(lambda inner, x: checkpoint(inner, x, **options))
    said = mistake(trace, net, stages={"first": "first"})
    for other in (
        mistake(trace, net, stages=places),
        mistake(
            segtrace.integrate, net, {"enc1": "inner.1"}, X, TARGET, {"enc1": torch.zeros(4)}, 1
        ),
    ):
        assert between(said, "re-entrant") == between(other, "re-entrant")
    name, value = between(said, "; say ").split("=")
    options[name] = value == "True"
    trace(net, stages=places)
    return said


@remedy
def what_the_gradient_needs_is_overwritten():
    def adding(add):
        def run(inner, x):
            a = inner(x).sigmoid()
            b = a * a
            return b + add(a)

        return Runs(run)

    places = {"enc1": "inner.1"}
    said = mistake(trace, adding(lambda a: a.add_(1)), stages=places)
    assert between(said, "elsewhere: ", " for") == "a = a + b"
    trace(adding(lambda a: a + 1), stages=places)
    return said


@remedy
def a_part_in_inference_mode():
    def part(mode):
        def run(inner, x):
            with mode():
                return inner(x)

        return Runs(run)

    said = mistake(trace, part(torch.inference_mode), stages={"enc1": "inner.1"})
    trace(part(torch.enable_grad), stages={"enc1": "inner.1"})
    return said


@remedy
def detached_logits():
    net = Runs(lambda inner, x: inner(x).detach())
    said = mistake(trace, net, stages={"enc1": "inner.1"})
    trace(Runs(lambda inner, x: inner(x)), stages={"enc1": "inner.1"})
    return said


class Helper:
    def __init__(self):
        self.conv = nn.Conv2d(1, 1, 1)


@remedy
def modules_that_float64_does_not_find():
    helper = Helper()
    net = Runs(lambda inner, x: inner(helper.conv(x))).float()
    said = mistake(segtrace.describe, net, X.float(), {"enc1": "inner.1"})
    net.conv = helper.conv  # an attribute of the network
    segtrace.describe(net, X.float(), {"enc1": "inner.1"})
    return said


@remedy
def steps_of_an_integral():
    def integrate(steps):
        return segtrace.integrate(nets.plain(), {"a": "1"}, X, TARGET, {"a": torch.zeros(4)}, steps)

    said = mistake(integrate, 0)
    integrate(1)
    integrate(16)
    return said


@remedy
def no_edge():
    net = known.Routed()
    means = {"skip_1": torch.zeros(1), "up_1": torch.zeros(1)}
    x, truth = known.blob()
    target = targets.organ(1, "gt", truth)

    def joint(edges):
        return segtrace.integrate(net, None, x, target, means, 1, joint=True, edges=edges)

    said = mistake(joint, {})
    joint(known.ROUTED_EDGES)
    return said


HALF = plain_conv_unet.skip(3)


def described(**change):
    edge = {key: value for key, value in (HALF | change).items() if value is not None}
    return segtrace.describe(
        plain_conv_unet.plain_conv_unet(),
        nets.images(1, 32),
        plain_conv_unet.STAGES,
        edges={"skip_3": edge},
        output=plain_conv_unet.first,
    )


@remedy
def how_an_edge_is_written():
    said = mistake(described, stage=None)
    assert "give stage: …, module: … and" in said
    described()
    return said


@remedy
def a_joined_edge_without_its_neighbour():
    said = mistake(described, beside=None, source=None)
    described(beside=HALF["beside"], argument=0)
    described(beside=None, argument=0)  # or the source
    return said


@remedy
def a_joined_edge_that_nobody_has_looked_for():
    net, x = plain_conv_unet.plain_conv_unet(), nets.images(1, 32)
    (edge,) = edges.resolve(net, {"skip_3": {key: HALF[key] for key in HALF if key != "beside"}})
    stages = sites_of(net, plain_conv_unet.STAGES, {})

    def cut(place):
        with torch.no_grad(), altering(net, {place: torch.zeros_like}):
            net(x)

    said = mistake(cut, edge)
    typed = between(said, "yet: ")
    assert typed == "segtrace.network.joints.settled(net, edges, x)"
    cut(joints.settled(net, [edge], x, stages)[0])
    return said


@remedy
def proposed_edges_without_stages():
    said = mistake(trace, edges="proposed")
    with pytest.warns(UserWarning, match="are a proposal"):
        segtrace.trace(
            own(UNet), "proposed", nets.images(1, 32), targets.organ(1, "all"), edges="proposed"
        )
    trace(edges={})  # or name them
    return said


@remedy
def an_argument_that_is_not_there():
    said = mistake(described, argument=1)
    described(argument=0)  # positional ones count from 0
    return said


@remedy
def a_neighbour_that_is_not_there_as_it_is():
    said = mistake(described, beside="decoder.stages.0", source="")
    described(beside="decoder.transpconvs.2", source="")  # the module whose output is joined
    return said


@remedy
def an_edge_from_elsewhere():
    said = mistake(described, source="enc2")
    described(source=between(said, "it comes from ", ":"))
    return said


@remedy
def another_path_from_the_same_source():
    net, stages = known.Routed(), {"enc1": "shallow", "head": "head"}
    path = {"stage": "dec1", "module": "dec", "argument": 0, "source": "enc1"}

    def collected(**change):
        return collect(net, sites_of(net, stages, {"skip_1": path | change}), [known.blob()[0]])

    said = mistake(collected)
    collected(argument=eval(between(said, "argument=", " is")))
    collected(source="deep")  # the module whose output is meant
    return said


@remedy
def a_sum_that_is_none():
    said = mistake(described, joined="add")
    described(joined=between(said, "joined: ", " where"))
    return said


@remedy
def both_parts_of_a_sum():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other, self.dec = (nn.Conv2d(k, 2, 1) for k in (1, 1, 2))
            nn.init.constant_(self.dec.bias, -9.0)  # numbers in [0, 1] are taken for shares
            self.double()

        def forward(self, x):
            return self.dec(self.one(x) + self.other(x))

    net, truth = Net(), (TRUTH == 1).long()
    part = {"stage": "dec", "module": "dec", "argument": 0, "joined": "add"}
    named = {"skip": part | {"beside": "other"}, "up": part | {"beside": "one"}}
    organs = {"a": 1}

    def patched(edges):
        sites = sites_of(net, {"dec": "dec"}, edges)[1:]
        return patch(net, sites, (X, truth), (X.flip(0), truth.flip(0)), organs)

    said = mistake(patched, named)
    patched(named | {"up": {"stage": "dec", "module": between(said, "module: ", ",")}})
    return said


@remedy
def an_edge_with_the_name_of_a_stage():
    edge = known.ROUTED_EDGES["skip_1"]
    said = mistake(sites_of, known.Routed(), known.ROUTED_STAGES, {"enc1": edge})
    sites_of(known.Routed(), known.ROUTED_STAGES, {"another": edge})
    return said


@remedy
def no_decoder_stage_to_aggregate():
    flow = trace()
    said = mistake(aggregate, flow)
    aggregate(flow, stages=between(said, "name some of ").split(", "))
    return said


@remedy
def weights_of_an_aggregate():
    flow = trace()
    said = mistake(aggregate, flow, ["enc1"], "weighted")
    aggregate(flow, ["enc1"], "weighted", {"enc1": 0.5})
    return said


@remedy
def too_few_slices_for_a_mean():
    net, sites = plain_sites()
    said = mistake(collect, net, sites, [X[:1]])
    collect(net, sites, [X])
    return said


@remedy
def no_mean_maps():
    net, sites = plain_sites()
    said = mistake(calls, net, sites, collect(net, sites, [X]), cut="mean_map")
    options = eval(f"dict({between(said, 'with ')})")
    calls(net, sites, collect(net, sites, [X], **options), cut="mean_map")
    return said


@remedy
def a_mean_map_of_another_size():
    net, sites = plain_sites()
    said = mistake(
        calls, net, sites, collect(net, sites, [nets.images(2, 8)], maps=True), cut="mean_map"
    )
    calls(net, sites, collect(net, sites, [X], maps=True), cut="mean_map")
    return said


@remedy
def a_cut_without_means():
    net, sites = plain_sites()
    said = mistake(calls, net, sites, cut="channel_mean")
    calls(net, sites, collect(net, sites, [X]), cut="channel_mean")
    return said


@remedy
def a_single_slice_to_resample():
    net, sites = plain_sites()
    one = (X[:1], TRUTH[:1], {"a": 1})
    said = mistake(necessity, net, sites, *one, cut="resample")
    calls(net, sites, cut="resample", draws=1)
    return said


@remedy
def no_site():
    net, sites = plain_sites()
    said = mistake(calls, net, [])
    assert said == mistake(patch, net, [], (X, TRUTH), (X, TRUTH), ORGANS)
    assert said == mistake(carry, net, [], X, TRUTH, ORGANS, cases=["p", "q"])
    calls(net, sites[:1])
    return said


@remedy
def cases_of_slices():
    net, sites = plain_sites()
    said = mistake(calls, net, sites, cases=["p"])
    calls(net, sites, cases=["p", "q"])
    return said


@remedy
def slices_that_do_not_pair():
    net, sites = plain_sites()
    said = mistake(patch, net, sites, (X, TRUTH), (X[:1], TRUTH[:1]), ORGANS)
    patch(net, sites, (X, TRUTH), (X, TRUTH), ORGANS)
    return said


@remedy
def no_organ():
    said = mistake(Judge, {}, TRUTH)
    Judge({"a": 1}, TRUTH).checked()
    return said


@remedy
def an_organ_that_is_nowhere():
    net, sites = plain_sites()
    said = mistake(necessity, net, sites, X, TRUTH, ORGANS | {"ghost": 7}, cut="zero")
    calls(net, sites)  # left out
    return said


def removed(flow, organs, net=None, **options):
    net, sites = plain_sites() if net is None else (net, sites_of(net, STAGES, {}))
    options = {"cut": "zero", "draws": 1} | options
    return deletion(net, flow, sites[:1], X, TRUTH, organs, **options)


def finding():
    """A network that finds both organs somewhere."""
    net = nets.plain()
    with torch.no_grad():
        net[5].bias -= net(X).transpose(0, 1).flatten(1).median(1).values
    return net


@remedy
def organs_of_a_flow():
    flow = trace(finding())
    said = mistake(removed, flow, {"b": 2, "a": 1}, finding())
    order = between(said, "the flow explains ", ";").split(", ")
    removed(flow, {name: ORGANS[name] for name in order}, finding())
    return said


@remedy
def fractions_of_a_stage():
    flow = trace(finding())
    said = mistake(removed, flow, ORGANS, finding(), fractions=(1.0,))
    removed(flow, ORGANS, finding(), fractions=(0.5,))
    return said


@remedy
def as_many_slices_as_cases():
    flow = trace(finding())
    said = mistake(removed, flow, ORGANS, finding(), cases=["p"])
    removed(flow, ORGANS, finding(), cases=["p", "q"])
    return said


@remedy
def an_organ_that_is_not_found():
    net = finding()
    with torch.no_grad():
        net[5].bias[2] -= 1e3
    said = mistake(removed, trace(net), ORGANS, net)
    left = targets.organs({"a": 1}, "gt", TRUTH)
    removed(trace(net, target=left), {"a": 1}, net)
    return said


@remedy
def sites_cut_in_another_way():
    net, sites = plain_sites()
    norms = sizes_of(segtrace.trace(net, sites, X, targets.organs(ORGANS, "gt", TRUTH)))
    said = mistake(rankings, calls(net, sites), norms, {})
    options = {"cut": eval(between(said, "cut=", ","))}
    rankings(calls(net, sites, draws=1, **options), norms, {})
    return said


@remedy
def a_truth_of_no_whole_numbers():
    scaled = torch.where(TRUTH > 0, TRUTH * 0.9, torch.nan)
    said = mistake(targets.organ, 1, "gt", scaled)
    for typed in (TRUTH, eval(f"scaled{between(said, 'or say ', ' of it')}", {"scaled": scaled})):
        assert trace(nets.plain(), target=targets.organ(1, "gt", typed)).region_px.any()
    return said


@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_a_remedy_works_when_it_is_typed(name):
    assert REMEDIES[name]()


@remedy
def nothing_to_hide_pixels_by():
    net = nets.plain()
    given = net, trace(net), X, ORGANS
    said = mistake(pixels, *given, hidden={}, steps=2, thresholds=2)
    hidden = eval(between(said, "at least one, "), {"torch": torch, "images": X})
    pixels(*given, hidden=hidden, steps=2, thresholds=2)
    return said


WORDS = re.compile(
    r"\b(give|say|name|call|build|collect|leave|let|return|send|rank|wrap|needs|need|needed|asks"
    r"|allowed|did you mean|count from)\b|=lambda"
)
ELSEWHERE = {
    # tested beside the code, where more of the same kind stands
    "components need scipy": "tests/attribution/test_targets.py",
    "named axes need xarray": "tests/attribution/test_flow.py",
    "has shape .* needs \\(N, tokens": "tests/attribution/test_stages.py",
    "tokens; .* needs": "tests/attribution/test_stages.py",
    "tokens, which are no square grid": "tests/network/test_stages.py",
    "in no pair the two cuts": "tests/causal/faithfulness/test_tally.py",
    "no decoder stage has two edges": "tests/causal/faithfulness/test_paths.py",
    "predictor .* has shape": "tests/causal/faithfulness/test_ranking.py",
    "rule .* returns": "tests/attribution/test_guards.py",
    "rule .* writes into the gradient": "tests/attribution/test_trace.py",
    "weigh of rule .* returns": "tests/attribution/test_guards.py",
    "the target of .* returns": "tests/attribution/test_guards.py",
    "the logits ask for": "tests/attribution/test_labels.py",
    "rule .* holds activations": "tests/attribution/sliding/test_traced.py",
    "the logits of a window of": "tests/attribution/sliding/test_traced.py",
}


def _pattern(node, module):
    """The message as a regular expression: what is filled in may be anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _pattern(node.value, module)
    if isinstance(node, ast.BinOp):
        return _pattern(node.left, module) + _pattern(node.right, module)
    if isinstance(node, ast.Name) and isinstance(getattr(module, node.id, None), str):
        return re.escape(getattr(module, node.id))
    return ".*"


def messages():
    """(where, pattern) of every message of an InputError in the core."""
    for package in ("activation.py", "network", "attribution", "causal"):
        place = SOURCE / package
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            # The kinds of arguments have a test of their own.
            if "guards" in (path.stem, path.parent.name):
                continue
            module = import_module(
                ".".join(["segtrace", *path.relative_to(SOURCE).with_suffix("").parts])
            )
            for node in ast.walk(ast.parse(inspect.getsource(module))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
                    yield f"{path.name}:{node.lineno}", _pattern(node.args[0], module)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_no_remedy_is_left_untyped():
    said = [function() for function in REMEDIES.values()]
    found = list(messages())
    assert len(found) > 60
    for where, pattern in found:
        if WORDS.search(pattern.replace("\\", "")) is None:
            continue
        if any(re.search(part, pattern.replace("\\", "")) for part in ELSEWHERE):
            continue
        assert any(re.fullmatch(pattern, one) for one in said), f"{where}: {pattern}"
