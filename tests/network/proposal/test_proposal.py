"""Stages and edges of networks as users write them: found, said, cut as by hooks made by hand."""

import ast
import shlex

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from torch import nn

import segtrace
from helpers import nets
from helpers.own_nets import (
    AttUNet,
    DeepLab,
    Functional,
    Listed,
    ResUNet,
    Tokens,
    Transformer,
    UNet,
    own,
)
from helpers.plain_conv_unet import EDGES, STAGES, first, plain_conv_unet
from network.test_known import FLAT, network
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.necessity import necessity
from segtrace.network import edges, stages
from segtrace.network.altering import altering
from segtrace.network.joints import settled
from segtrace.network.proposal.proposal import propose
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import undisturbed

X = nets.images(2, 32)
VOLUME = torch.rand(1, 1, 16, 16, 16, dtype=torch.float64)
TARGET = targets.organ(1, "all")


def listed_3d():
    return own(Listed, dims=3, widths=(2, 3, 4))


PLACES = {
    "UNet": (
        lambda: own(UNet),
        "inc down1 down2 down3 | up1 up2 up3 | outc",
    ),
    "ResUNet": (lambda: own(ResUNet), "stem layer1 layer2 | dec1 dec2 | final"),
    "AttUNet": (lambda: own(AttUNet), "conv1 conv2 conv3 | Up_conv3 Up_conv2 | Conv_1x1"),
    "Functional": (lambda: own(Functional), "e1 e2 e3 | d2 d1 | out"),
    "Listed": (
        lambda: own(Listed),
        "downs.0 downs.1 downs.2 downs.3 | decs.0 decs.1 decs.2 | head",
    ),
    "Listed 3-D": (listed_3d, "downs.0 downs.1 downs.2 | decs.0 decs.1 | head"),
    "DeepLab": (lambda: own(DeepLab), "layer0 layer1 layer3 | | classifier"),
    "Transformer": (lambda: own(Transformer), "stem blocks.1 | dec | head"),
    "nnU-Net": (
        plain_conv_unet,
        "encoder.stages.0 encoder.stages.1 encoder.stages.2 encoder.stages.3 | "
        "decoder.stages.0 decoder.stages.1 decoder.stages.2 | decoder.seg_layers.2",
    ),
}


def image(name):
    return VOLUME if name.endswith("3-D") else X


def proposal(name):
    output = first if name == "nnU-Net" else None
    return propose(PLACES[name][0](), image(name), output)


@pytest.mark.parametrize("name", PLACES)
def test_the_last_module_of_each_resolution_is_a_stage(name):
    encoder, decoder, head = (part.split() for part in PLACES[name][1].split("|"))
    expected = {f"enc{i}": path for i, path in enumerate(encoder, 1)}
    expected |= {f"dec{i}": path for i, path in enumerate(decoder, 1)}
    found = proposal(name)
    assert {stage.name: stage.module for stage in found.stages} == expected | {"head": head[0]}
    assert [stage.name for stage in found.stages] == [*expected, "head"]


def test_tokens_lie_on_the_grid_that_they_were_cut_from():
    layouts = {stage.name: stage.layout for stage in proposal("Transformer").stages}
    assert layouts == {"enc1": "nchw", "enc2": "tokens(8, 8)", "dec1": "nchw", "head": "nchw"}


# Of each network by hand: edge -> the module to hook, what it takes or puts out, and its part.
BY_HAND = {
    "UNet": {
        f"{way}_{i}": (f"up{i}", at, slice(None))
        for i in (1, 2, 3)
        for at, way in enumerate(("up", "skip"))
    },
    "ResUNet": {
        **{f"up_{i}": (f"up{i}", None, slice(None)) for i in (1, 2)},
        **{f"skip_{i}": (f"dec{i}", 0, f"up{i}") for i in (1, 2)},  # up alone is left of the sum
    },
    "AttUNet": {
        "skip_1": ("Att3", "x", slice(None)), "up_1": ("Up3", None, slice(None)),
        "skip_2": ("Att2", "x", slice(None)), "up_2": ("Up2", None, slice(None)),
    },
    "Functional": {
        "skip_1": ("d2", 0, slice(8, 14)), "up_1": ("d2", 0, slice(0, 8)),
        "skip_2": ("d1", 0, slice(6, 10)), "up_2": ("d1", 0, slice(0, 6)),
    },
    "Listed": {
        **{f"up_{i + 1}": (f"ups.{i}", None, slice(None)) for i in range(3)},
        **{f"skip_{i + 1}": (f"decs.{i}", 0, slice(0, (8, 6, 4)[i])) for i in range(3)},
    },
    "Listed 3-D": {
        **{f"up_{i + 1}": (f"ups.{i}", None, slice(None)) for i in range(2)},
        **{f"skip_{i + 1}": (f"decs.{i}", 0, slice(0, (3, 2)[i])) for i in range(2)},
    },
    "Transformer": {"skip_1": ("dec", 0, slice(0, 4)), "up_1": ("up", None, slice(None))},
    "nnU-Net": {
        **{f"up_{i + 1}": (f"decoder.transpconvs.{i}", None, slice(None)) for i in range(3)},
        **{
            f"skip_{i + 1}": (f"decoder.stages.{i}", 0, slice((6, 6, 4)[i], None))
            for i in range(3)
        },
    },
}  # fmt: skip


def cut_by_hand(net, place, x):
    """The logits with an edge at zero, cut by a plain hook."""
    path, argument, part = place
    latest = {}

    def emptied(tensor):
        if isinstance(part, str):  # the other summand is all that is left
            return latest["other"]
        tensor = tensor.clone()
        tensor[:, part] = 0
        return tensor

    def on_input(_module, args, kwargs):
        if isinstance(argument, str):
            return args, kwargs | {argument: emptied(kwargs[argument])}
        return (*args[:argument], emptied(args[argument]), *args[argument + 1 :]), kwargs

    module = net.get_submodule(path)
    handles = [
        module.register_forward_hook(lambda _m, _i, out: emptied(out))
        if argument is None
        else module.register_forward_pre_hook(on_input, with_kwargs=True)
    ]
    if isinstance(part, str):
        keep = net.get_submodule(part).register_forward_hook
        handles.append(keep(lambda _m, _i, out: latest.update(other=out)))
    with torch.no_grad():
        logits = net(x)
    for handle in handles:
        handle.remove()
    return logits[0] if isinstance(logits, list) else logits


@pytest.mark.parametrize("name", BY_HAND)
def test_the_edges_cut_what_hooks_made_by_hand_cut(name):
    net, x, found = PLACES[name][0](), image(name), proposal(name)
    assert {edge.name for edge in found.edges} == BY_HAND[name].keys()
    with undisturbed(net, x.device):
        whole = settled(net, found.edges, x, found.stages)
    plain = cut_by_hand(net, ("", 0, slice(0, 0)), x)
    for edge in whole:
        with torch.no_grad(), altering(net, {edge: torch.zeros_like}):
            cut = net(x)
        cut = cut[0] if isinstance(cut, list) else cut
        expected = cut_by_hand(net, BY_HAND[name][edge.name], x)
        torch.testing.assert_close(cut, expected, msg=lambda words, edge=edge: f"{edge}: {words}")
        assert not torch.allclose(cut, plain), edge


def test_nothing_is_said_to_be_missing_where_all_is_found():
    for name in BY_HAND:
        assert proposal(name).notes == ()


def test_what_cannot_be_found_is_said():
    (decoder, logits) = proposal("DeepLab").notes
    assert decoder.startswith("no decoder: resolution does not rise again")
    assert logits == (
        "no module puts out the logits themselves; head is classifier, from which they are made"
    )
    found = propose(own(Tokens), X)
    assert [stage.layout for stage in found.stages] == [
        "tokens(8, 8)", "tokens(4, 4)", "tokens(8, 8)", "tokens(8, 8)",
    ]  # fmt: skip
    assert found.edges == ()
    assert found.notes[0].startswith("dec1: what enters it from the encoder and from enc2 cannot")


class Beside(nn.Module):
    """What comes from the encoder enters twice: as an argument, and behind the stage's back."""

    def __init__(self):
        super().__init__()
        self.inner = UNet()
        self.more = nn.Conv2d(16, 16, 1)

    def forward(self, x):
        net = self.inner
        a = net.inc(x)
        b = net.down1(a)
        c = net.down2(b)
        d = net.up1(net.down3(c), c)
        d = net.up2(d + self.more(c), b)
        return net.outc(net.up3(d, a))


def test_an_edge_is_proposed_only_where_nothing_else_enters():
    found = propose(own(Beside), X)
    assert [edge.name for edge in found.edges] == ["skip_1", "up_1", "skip_3", "up_3"]
    (note,) = found.notes
    assert note.startswith("dec2: what enters it from the encoder and from dec1 cannot be told")


def test_a_network_of_one_resolution_has_nothing_to_propose():
    plain = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)).double()
    with pytest.raises(InputError, match=r"for none can be proposed: its modules put out no grids"):
        segtrace.describe(plain, X)
    segtrace.describe(plain, X, {"enc1": "1", "head": "2"})


ALIKE = ("FlexibleUNet", "BasicUNet", "SegResNet", "DynUNet", "VNet")


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_proposed_for_networks_of_the_table_is_what_the_table_says(name):
    assert set(ALIKE) <= set(FLAT)
    net, _ = network(name)
    found = propose(net, nets.images(1, 64))
    expected = {stage.name: stage.module for stage in stages.resolve(net)}
    expected["head"] = {"FlexibleUNet": "segmentation_head"}.get(name, expected["head"])
    assert {stage.name: stage.module for stage in found.stages} == expected
    table = {edge.name: edge for edge in edges.resolve(net)}
    if name == "FlexibleUNet":
        del table["up_5"]  # the last stage has no skip, so that cutting dec4 is the same
    assert {edge.name: edge.source for edge in found.edges} == {
        name: edge.source for name, edge in table.items()
    }


def test_three_lines_explain_a_network_of_the_users_own_and_one_says_what_was_proposed():
    net = own(UNet)
    with pytest.warns(UserWarning, match="the places of UNet are a proposal: enc1 inc") as said:
        flow = segtrace.trace(net, "proposed", X, TARGET)
    (line,) = [str(warning.message) for warning in said]
    assert "\n" not in line
    assert "dec3 up3 (32x32), head outc (32x32); skip_1, up_1, " in line
    typed = line.split("them: ")[1]
    assert "skip_1: {stage: dec1" in str(
        eval(typed[6:-1], {"segtrace": segtrace, "net": net, "image": X})
    )
    named = {stage.name: stage.module for stage in proposal("UNet").stages}
    expected = segtrace.trace(net, named, X, TARGET)
    assert flow.sites == expected.sites
    assert all(torch.equal(flow.maps[site], expected.maps[site]) for site in flow.sites)


def test_proposed_edges_are_traced_beside_proposed_stages_alone():
    with pytest.warns(UserWarning, match="are a proposal"):
        flow = segtrace.trace(own(Functional), "proposed", X, TARGET, edges="proposed")
    assert flow.sites[-4:] == ("skip_1", "up_1", "skip_2", "up_2")
    with pytest.raises(InputError, match="say stages='proposed' too, or name the edges"):
        segtrace.trace(own(Functional), {"enc1": "e1"}, X, TARGET, edges="proposed")


def test_the_description_can_be_pasted_wherever_stages_and_edges_are_named():
    net = own(Functional)
    described = segtrace.describe(net, X)
    text = str(described)
    files = text.split("stages.yaml:\n")[1].split("For train.py: ")[0].split("and edges.yaml:\n")
    from_yaml = [yaml.safe_load(file) for file in files]
    shell = text.split("For train.py: ")[1].split("\n")[0].strip("'").split("' '")
    parsed = OverridesParser.create().parse_overrides(shell)
    assert [one.key_or_group for one in parsed] == ["model.stages", "model.edges"]
    python = text.split("In Python:\n")[1].split("\n")
    from_python = [ast.literal_eval(line.partition(" = ")[2]) for line in python]
    assert from_yaml == from_python == [one.value() for one in parsed]
    places, joins = from_python
    again = segtrace.describe(net, X, places, edges=joins)
    assert again.proposal is None
    assert again.sites == described.sites
    truth = nets.labels(2, 32, 3)
    found = necessity(net, described.sites, X, truth, {"a": 1, "b": 2}, cut="zero")
    assert list(found.data["site"])[-1] == "up_2"


ODD = [
    "0",
    "1_000",
    "0x10",
    "1e3",
    "on",
    "Yes",
    "null",
    "NaN",
    "it's",
    'a"b',
    "a: b",
    "#",
    "é",
    "~",
]


@pytest.mark.parametrize("name", ODD)
def test_names_that_yaml_takes_for_something_else_are_pasted_as_they_are(name):
    net = nn.Sequential()
    net.add_module(name, nn.Conv2d(1, 4, 3, padding=1))
    net.add_module("low", nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 4, 1), nn.Upsample(None, 2)))
    net.add_module("head", nn.Conv2d(4, 3, 1))
    text = str(propose(net.double(), X))
    stages = ast.literal_eval(text.split("stages = ")[1].split("\n")[0])
    assert name in stages.values()
    assert yaml.safe_load(text.split("stages.yaml:\n")[1].split("For train.py: ")[0]) == stages
    shell = shlex.split(text.split("For train.py: ")[1].split("\n")[0])
    assert OverridesParser.create().parse_overrides(shell)[0].value() == stages


def test_layouts_are_pasted_as_they_are_read():
    text = str(propose(own(Transformer), X))
    (line,) = [line for line in text.split("\n") if line.startswith("  enc2")]
    place = yaml.safe_load(line)["enc2"]
    assert place == {"module": "blocks.1", "layout": "tokens(8, 8)"}
    typed = text.split("For train.py: '")[1].split("' '")[0]
    (override,) = OverridesParser.create().parse_overrides([typed])
    assert override.value()["enc2"] == place


def test_the_network_is_left_as_it_was():
    net = own(AttUNet).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    segtrace.describe(net, X)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    for module in net.modules():
        assert module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_the_table_wins_and_a_proposal_can_be_asked_for_all_the_same():
    net = nets.basic_unet()
    assert segtrace.describe(net, X).proposal is None
    asked = segtrace.describe(net, X, "proposed")
    assert asked.proposal is not None
    assert asked.stages[0].stage.module == "conv_0"


def test_by_hand_the_table_of_the_twin_says_the_same():
    found = proposal("nnU-Net")
    assert {stage.name: stage.module for stage in found.stages} == STAGES
    for edge in found.edges:
        place = edge.to_plain()
        assert {key: place[key] for key in EDGES[edge.name]} == EDGES[edge.name]


@pytest.mark.parametrize("call", [sites_of, stages.resolve])
def test_where_there_is_no_image_the_description_has_the_sites(call):
    net = own(UNet)
    with pytest.raises(InputError, match=r"stages is 'proposed', which needs an image") as found:
        call(net, "proposed")
    typed = str(found.value).split("give ")[1]
    places = eval(typed, {"segtrace": segtrace, "net": net, "image": X})
    flow = segtrace.trace(net, places, X, TARGET)
    assert flow.sites[-1] == "up_3"


@pytest.mark.parametrize("jit", [torch.jit.script, lambda net: torch.jit.trace(net, X[:1])])
def test_of_a_scripted_network_nothing_is_proposed_and_the_one_before_is_asked_for(jit):
    net = own(UNet)
    given = jit(net)
    for ask in (
        lambda net: segtrace.trace(net, "proposed", X, TARGET, edges="proposed"),
        lambda net: segtrace.describe(net, X),
        lambda net: stages.resolve(net),
        lambda net: edges.resolve(net),
    ):
        with pytest.raises(InputError, match=r"torch.jit has scripted; give the nn.Module as it"):
            ask(given)


def test_a_scripted_part_is_said_and_an_edge_that_carries_it_refused():
    net = own(UNet)
    net.down1 = torch.jit.script(net.down1)
    with undisturbed(net, X.device):
        found = propose(net, X)
    assert "down1" not in {stage.module for stage in found.stages}
    assert "down1, which torch.jit has scripted: no hook reaches into it" in found.notes
    edge = {"stage": "dec2", "module": "up2", "argument": 1, "source": "down1"}
    with pytest.raises(InputError, match=r"edge 'mine': module 'down1' is scripted by"):
        segtrace.trace(net, {}, X, TARGET, edges={"mine": edge})


class ImageSkip(nn.Module):
    """The image itself is a skip, beside what is resized without a module."""

    def __init__(self):
        super().__init__()
        self.enc, self.low = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.dec, self.head = nn.Conv2d(5, 4, 3, padding=1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        up = nn.functional.interpolate(self.low(self.enc(x)), scale_factor=2)
        return self.head(self.dec(torch.cat([x, up], 1)))


def test_an_image_that_is_a_skip_beside_what_no_module_resized_is_no_edge():
    net = ImageSkip().double()
    with undisturbed(net, X.device):
        found = propose(net, X)
    assert [edge.name for edge in found.edges] == []
    assert len(found.notes) == 1
