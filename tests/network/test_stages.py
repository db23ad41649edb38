import re
from collections import OrderedDict

import pytest
import torch
from torch import nn

import segtrace
from helpers import nets as own
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.network import edges, stages
from segtrace.network.altering import altering
from segtrace.network.stages import Stage

ALL = {"organ": targets.organ(1, "all")}
BOTH = ("seg_grad_cam", "grad_pam")


class Block(nn.Module):
    """Attention over tokens, in pre-norm."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens):
        normed = self.first(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.second(tokens))


class Up(nn.Module):
    def __init__(self, below, skip, out):
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear")
        self.conv = nn.Sequential(nn.Conv2d(below + skip, out, 3, padding=1), nn.ReLU())

    def forward(self, x, *, skip):
        return self.conv(torch.cat([self.upsample(x), skip], 1))


class Hybrid(nn.Module):
    """A hybrid in the style of TransUNet: convolutions, transformer on their grid, cascaded up."""

    def __init__(self, side=16, class_token=True):
        super().__init__()
        self.grid = side // 4
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
        self.embed = nn.Conv2d(6, 8, 2, stride=2)
        self.token = nn.Parameter(torch.ones(1, 1, 8)) if class_token else None
        self.place = nn.Parameter(torch.randn(1, self.grid**2, 8))
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.last = nn.LayerNorm(8)  # channels last, as in Swin
        self.dec1, self.dec2 = Up(8, 6, 6), Up(6, 4, 4)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        first = self.stem(x)
        second = self.down(first)
        tokens = self.embed(second).flatten(2).mT + self.place
        if self.token is not None:
            tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        tokens = self.blocks(tokens)[:, -(self.grid**2) :]
        grid = self.last(tokens.unflatten(1, (self.grid, self.grid)))  # (N, h, w, K)
        up = self.dec1(grid.movedim(-1, 1), skip=second)
        return self.head(self.dec2(up, skip=first))


PLACES = {
    "enc1": "stem",
    "enc2": "down",
    "enc3": {"module": "blocks.0", "layout": "tokens(4, 4)"},
    "enc4": {"module": "last", "layout": "nhwc"},
    "dec1": "dec1",
    "dec2": "dec2",
    "head": "head",
}


@pytest.mark.parametrize("class_token", [True, False])
def test_a_hybrid_of_transformer_and_u_net_is_traced_at_every_stage(class_token):
    net = own.stirred(lambda: Hybrid(class_token=class_token))
    x = own.images(2, 16)
    assert segtrace.describe(net, x, PLACES).gradient_cut == ()
    flow = segtrace.trace(net, PLACES, x, ALL, BOTH)
    assert flow.maps["enc3"].shape == flow.maps["enc4"].shape == (2, 1, 2, 4, 4)

    tokens, stored = [], x.clone().requires_grad_()
    handle = net.blocks[0].register_forward_hook(lambda _m, _i, out: tokens.append(out))
    score = net(stored)[:, 1].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, tokens[0])
    product = (tokens[0] * gradient).sum(2)[:, int(class_token) :]  # the class token dropped
    torch.testing.assert_close(flow.maps["enc3"][1, 0], product.unflatten(1, (4, 4)).detach())
    mean = gradient[:, int(class_token) :].mean(1, keepdim=True)
    averaged = (tokens[0] * mean).sum(2)[:, int(class_token) :].unflatten(1, (4, 4)).detach()
    torch.testing.assert_close(flow.maps["enc3"][0, 0], averaged)


def test_edges_named_by_the_user_may_be_keywords():
    net = own.stirred(Hybrid)
    named = {
        "skip_1": {"stage": "dec1", "module": "dec1", "argument": "skip", "source": "enc2"},
        "up_1": {"stage": "dec1", "module": "dec1.upsample"},
    }
    found = edges.resolve(net, named)
    assert edges.resolve(net, {edge.name: edge.to_plain() for edge in found}) == found
    seen = {}
    with altering(net, {e: (lambda t, e=e: seen.setdefault(e.name, t)) for e in found}):
        net(own.images(1, 16))
    assert seen["skip_1"].shape == (1, 6, 8, 8)
    assert seen["up_1"].shape == (1, 8, 8, 8)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pair = nn.Conv2d(1, 1, 1), Pair()

    def forward(self, x):
        return self.pair(self.conv(self.conv(x)))[0]


class Pair(nn.Module):
    def forward(self, x):
        return torch.cat([x, 2 * x], 1), x


class Idle(Twice):
    def forward(self, x):
        return torch.cat([x, x], 1)


@pytest.mark.parametrize(
    ("net", "places", "message"),
    [
        (Twice, {"a": "conv"}, r"stage 'a' \(conv\) runs more than once"),
        (Twice, {"a": "pair"}, r"stage 'a' \(pair\) returns a tuple"),
        (Idle, {"a": "conv"}, r"stage 'a' \(conv\) did not run"),
        (Twice, {"a": "konv"}, r"stage 'a': no module 'konv'.*did you mean conv"),
        (Twice, {"a": {"module": "conv", "layout": "nwhc"}}, "layout 'nwhc'; allowed are nchw"),
        (Twice, {"a": 3}, "stage 'a' is 3; give a module path"),
        (
            Hybrid,
            {"a": {"module": "blocks.0", "layout": "tokens(5, 5)"}},
            "has 17 tokens.*needs 25",
        ),
        (Hybrid, {"a": {"module": "stem", "layout": "tokens(4, 4)"}}, r"\(N, tokens, channels\)"),
    ],
)
def test_a_stage_that_cannot_be_read_is_refused_by_name(net, places, message):
    with pytest.raises(segtrace.InputError, match=message):
        segtrace.trace(net().double(), places, own.images(1, 16), ALL)


def test_a_stage_that_a_hook_cuts_off_from_the_image_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)).double().requires_grad_(False)
    net[0].register_forward_hook(lambda _m, _i, out: out.detach())
    with pytest.raises(segtrace.InputError, match=r"stage 'a' \(1\) changes with the image, but"):
        segtrace.trace(net, {"a": "1"}, own.images(1, 4), ALL)


class Cut(nn.Module):
    """Its first part has no gradient, its second none of the image."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.last = (nn.Conv2d(1, n, 1) for n in (1, 1, 2))

    def forward(self, x):
        with torch.no_grad():
            inner = self.one(x)
        return self.last(x + inner + self.two(torch.ones_like(x)))


@pytest.mark.parametrize(
    ("stage", "words"),
    [("one", "changes with the image, but no gradient leads to it"),
     ("two", "does not depend on the image")],
)  # fmt: skip
def test_a_stage_whose_gradient_is_cut_is_told_from_one_without_the_image(stage, words):
    net, image, places = Cut().double().requires_grad_(False), own.images(1, 4), {"a": stage}
    for look in (lambda: segtrace.trace(net, places, image, ALL),
                 lambda: segtrace.describe(net, image, places)):  # fmt: skip
        with pytest.raises(segtrace.InputError, match=rf"stage 'a' \({stage}\) {words}"):
            look()


def test_a_network_that_torch_has_written_out_says_why_its_stages_do_not_run():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.conv(x).relu()

    written = torch.fx.symbolic_trace(nn.Sequential(OrderedDict(a=Block(), b=nn.Conv2d(2, 2, 1))))
    written.double()
    assert segtrace.trace(written, {"s": "a.conv"}, own.images(1, 4), ALL).maps
    with pytest.raises(segtrace.InputError, match=r"\(a\) did not run: torch.fx or torch"):
        segtrace.trace(written, {"s": "a"}, own.images(1, 4), ALL)


def test_an_unknown_network_shows_its_modules():
    with pytest.raises(segtrace.InputError, match=r"Hybrid.*stages=.*stem \(Sequential\).*dec1"):
        stages.resolve(Hybrid())
    with pytest.raises(segtrace.InputError, match="Hybrid"):
        edges.resolve(Hybrid())


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (["skip_9"], "no edge 'skip_9'.*skip_1"),
        ({"a": {"module": "conv_0"}}, "edge 'a' is .*give stage"),
        ({"a": {"stage": "dec1", "module": "conv_9"}}, "edge 'a': no module 'conv_9'"),
        ({"a": {"stage": "d", "module": "conv_0", "joined": "sum"}}, "no way of joining 'sum'"),
        ({"a": {"stage": "d", "module": "conv_0", "joined": "cat"}}, "give argument, beside"),
    ],
)
def test_mistakes_about_edges_are_named(edge, message):
    with pytest.raises(segtrace.InputError, match=message):
        edges.resolve(own.basic_unet(), edge)


def test_plain_values_of_a_stage_are_read_back():
    stage = Stage("enc3", "blocks.0", "tokens(4, 4)")
    assert stages.resolve(Hybrid(), {"enc3": stage.to_plain()}) == (stage,)


@pytest.mark.parametrize("tokens", [9, 10])
def test_tokens_without_sizes_are_a_square_grid_with_or_without_a_class_token(tokens):
    sequence = torch.arange(2 * tokens).view(1, tokens, 2)
    grid = Stage("enc1", "a", "tokens").channels_first(sequence)
    assert torch.equal(grid, Stage("enc1", "a", "tokens(3, 3)").channels_first(sequence))
    assert torch.equal(grid[0, :, 0, 0], sequence[0, tokens - 9])


def test_tokens_that_are_no_square_are_refused_with_the_way_to_say_their_grid():
    said = r"stage 'enc1' has 8 tokens, which are no square grid; .* tokens\(h, w\)"
    with pytest.raises(InputError, match=said):
        Stage("enc1", "a", "tokens").channels_first(torch.zeros(1, 8, 2))
    assert Stage("enc1", "a", "tokens(2, 4)").channels_first(torch.zeros(1, 8, 2)).ndim == 4
    with pytest.raises(InputError, match=r"edge 'up' has layout 'nwhc'; allowed are nchw"):
        edges.Edge("up", "dec1", "a", layout="nwhc")


@pytest.mark.parametrize(
    ("path", "meant"), [("module.body.0", "body.0"), ("net.module.body", "body"), ("0", "body.0")]
)
def test_a_wrapper_s_name_too_much_or_too_little_is_seen(path, meant):
    net = nn.Sequential()
    net.body = nn.Sequential(nn.Conv2d(1, 2, 1))
    with pytest.raises(InputError, match=rf"did you mean {re.escape(meant)}\?"):
        stages.resolve(net, {"a": path})
