"""An edge is what it carries, in whatever order a network joins skip and up path."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import cat, nn

import segtrace
from helpers import nets
from helpers.plain_conv_unet import EDGES, STAGES, first, plain_conv_unet, skip, up
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.network import edges
from segtrace.network.altering import altering
from segtrace.network.hooks import observe
from segtrace.network.joints import settled
from segtrace.network.sites import sites_of
from segtrace.network.stages import Stage
from segtrace.network.undisturbed import undisturbed

X = nets.images(2, 32)


def look(net, places, known=(), x=X):
    with undisturbed(net, x.device):
        return {place.name: place for place in settled(net, places, x, known)}


def test_a_skip_that_is_joined_behind_the_up_path_is_the_half_from_the_encoder():
    net = plain_conv_unet()
    sites = sites_of(net, STAGES, EDGES)
    found = look(net, sites)
    parts = {name: place.part for name, place in found.items() if name.startswith("skip")}
    assert parts == {"skip_1": (6, 12), "skip_2": (6, 12), "skip_3": (4, 8)}
    for places in (found.values(), sites):  # looked at before, or only now
        seen = observe(net, tuple(places), X, first).activations
        for i in (1, 2, 3):
            assert torch.equal(seen[f"skip_{i}"], seen[f"enc{4 - i}"])
            assert not torch.equal(seen[f"skip_{i}"], seen[f"up_{i}"])


class Wired(nn.Module):
    """A skip and an up path, handed on as ``wire`` says to a decoder stage that sums what it gets.

    ``shrink`` is done to the image before the up path, so that both can be joined in its size.
    """

    def __init__(self, wire, shrink=lambda x: x):
        super().__init__()
        self.wire, self.shrink = wire, shrink
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.skip, self.below, self.up = (nn.Conv2d(k, 2, 1) for k in (1, 1, 2))
        self.dec = Weighed()
        self.double()

    def forward(self, x):
        return self.dec(*self.wire(self.skip(x), self.up(self.below(self.shrink(x)))))


class Weighed(nn.Module):
    """Σ_k (k + 1) channel k of all arguments."""

    def forward(self, *arguments):
        joined = cat(arguments, 1)
        weights = torch.arange(1, joined.shape[1] + 1).to(joined).view(-1, 1, 1)
        return (weights * joined).sum(1, keepdim=True).expand(-1, 2, -1, -1)


HALF = {
    "stage": "dec1", "module": "dec", "argument": 0,
    "joined": "cat", "beside": "up", "source": "skip",
}  # fmt: skip
SKIP_FIRST, UP_FIRST = (lambda s, u: (cat((s, u), 1),)), (lambda s, u: (cat((u, s), 1),))


def edge_of(net, place, known=()):
    return look(net, edges.resolve(net, {"edge": place}), known)["edge"]


def carried(net, place):
    with torch.no_grad():
        return observe(net, [edge_of(net, place)], X).activations["edge"]


@pytest.mark.parametrize(("wire", "place"), [(SKIP_FIRST, 0), (UP_FIRST, 2)])
@pytest.mark.parametrize("looked_at", [True, False])
def test_cutting_a_half_takes_that_half_alone(wire, place, looked_at):
    net = Wired(wire)
    edge = edge_of(net, HALF) if looked_at else edges.resolve(net, {"edge": HALF})[0]
    with torch.no_grad():
        with altering(net, {edge: torch.zeros_like}):
            cut = net(X)
        weights = torch.tensor([1.0, 2, 3, 4]).double()
        weights[place : place + 2] = 0
        expected = (weights.view(-1, 1, 1) * net.wire(net.skip(X), net.up(net.below(X)))[0]).sum(1)
    torch.testing.assert_close(cut[:, 0], expected)


ONES = {"skip_1": 1.0, "up_1": 10.0}


def test_skip_and_up_may_both_be_named_as_halves_and_altered_together():
    net = Wired(UP_FIRST)
    named = {"skip_1": HALF, "up_1": HALF | {"beside": "skip", "source": "below"}}
    found = look(net, edges.resolve(net, named))
    assert (found["skip_1"].part, found["up_1"].part) == ((2, 4), (0, 2))
    alter = {found[n]: (lambda t, v=v: torch.full_like(t, v)) for n, v in ONES.items()}
    with torch.no_grad(), altering(net, alter):
        assert (net(X) == 10 * (1 + 2) + 3 + 4).all()


def test_the_middle_of_three_is_found_by_its_source():
    net = Wired(lambda s, u: (cat((u, s, 2 * u), 1),))
    assert edge_of(net, HALF).part == (2, 4)
    assert torch.equal(carried(net, HALF), net.skip(X).detach())


@pytest.mark.parametrize(
    ("change", "shrink"),
    [
        (lambda s: s[..., 1:-1, 1:-1], lambda x: x[..., 1:-1, 1:-1]),
        (lambda s: nn.functional.pad(s, (0, 1)), lambda x: nn.functional.pad(x, (0, 1))),
        (torch.tanh, lambda x: x),
    ],
)  # fmt: skip
def test_a_skip_that_is_cropped_padded_or_squashed_on_its_way_is_still_the_skip(change, shrink):
    net = Wired(lambda s, u: UP_FIRST(change(s), u), shrink)
    assert torch.equal(carried(net, HALF), change(net.skip(X)).detach())
    alone = {"stage": "dec1", "module": "dec", "argument": 0, "source": "skip"}
    net = Wired(lambda s, u: (change(s), u), shrink)
    assert torch.equal(carried(net, alone), change(net.skip(X)).detach())


def test_a_sum_is_taken_apart_whichever_comes_first():
    for wire in (lambda s, u: (s + u,), lambda s, u: (u + s,)):
        net = Wired(wire)
        torch.testing.assert_close(carried(net, HALF | {"joined": "add"}), net.skip(X).detach())


def test_of_a_sum_one_part_is_named_by_the_module_whose_output_it_is():
    net = Wired(lambda s, u: (s + u,))
    summed = HALF | {"joined": "add"}
    both = {"skip_1": summed, "up_1": summed | {"beside": "skip", "source": "below"}}
    with (
        pytest.raises(InputError, match=r"'skip_1' and 'up_1' are parts of one sum.*module: up, "),
        altering(net, dict.fromkeys(edges.resolve(net, both), torch.zeros_like)),
    ):
        pass
    named = both | {"up_1": {"stage": "dec1", "module": "up"}}
    found = look(net, edges.resolve(net, named))
    alter = {found[n]: (lambda t, v=v: torch.full_like(t, v)) for n, v in ONES.items()}
    with torch.no_grad(), altering(net, alter):
        assert (net(X) == 11 * (1 + 2)).all()


def test_a_source_may_be_a_stage_of_the_users_or_a_module_or_left_out():
    net = Wired(UP_FIRST)
    for source, known in (("enc1", [Stage("enc1", "skip")]), ("skip", []), ("", []), ("CT", [])):
        assert edge_of(net, HALF | {"source": source}, known).part == (2, 4)


def test_halves_that_hold_the_same_numbers_are_taken_in_the_order_skip_up():
    net = Wired(lambda s, u: (cat((u, u), 1),))
    assert edge_of(net, HALF | {"source": ""}).part == (0, 2)


@pytest.mark.parametrize(
    ("wire", "change", "message"),
    [
        # neither half is there
        (lambda s, u: (cat((2 * s, 3 * u), 1),), {}, "neither half of the 4 channels .* what up"),
        (lambda s, u: (s + u,), {}, "neither half of the 2 channels that enter dec"),
        (lambda s, u: (cat((s, u), 3),), {}, "neither half of the 2 channels"),
        (UP_FIRST, {"beside": "below", "source": ""}, "neither half .* what below puts out;"),
        # another edge is there
        (UP_FIRST, {"source": "below", "joined": None}, "it comes from enc1, enc2:"),
        (lambda s, u: (s, u), {"joined": None, "argument": 1}, "argument 1 is not what.*enc1:"),
        (UP_FIRST, {"source": "enc1"}, "not what its source 'enc1' puts out; it comes from enc2"),
        (UP_FIRST, {"joined": "add"}, "argument 0 of dec is no sum with what up puts out; .*cat"),
        (lambda s, u: (s * u,), {"joined": "add"}, "no sum with what up puts out"),
        (lambda s, u: (s - u,), {"joined": "add"}, "no sum with what up puts out"),
        (lambda s, u: (s + u,), {"joined": "add", "beside": "dec"}, "no sum with what dec"),
        (lambda s, u: (s + u,), {"joined": "add", "source": "enc1"}, "it comes from enc2:"),
    ],
)
def test_an_edge_that_does_not_carry_what_it_says_is_refused_by_name(wire, change, message):
    net = Wired(wire)
    named = [Stage("enc1", "below"), Stage("enc2", "skip")]
    with pytest.raises(InputError, match=f"edge 'edge': .*{message}"):
        edge_of(net, {**HALF, **change}, named)


class Swapped(BasicUNet):
    """A class of the table whose last decoder stage was wired anew by its user."""

    def forward(self, x):
        x0 = self.conv_0(x)
        x1 = self.down_1(x0)
        x2 = self.down_2(x1)
        x3 = self.down_3(x2)
        u2 = self.upcat_2(self.upcat_3(self.upcat_4(self.down_4(x3), x3), x2), x1)
        return self.final_conv(self.upcat_1(u2, x0 * u2.mean()))


def test_an_edge_of_the_table_is_looked_at_as_well():
    net = nets.stirred(lambda: Swapped(2, 1, 4, features=(4, 4, 6, 8, 8, 4), norm="batch"))
    with pytest.raises(InputError, match=r"edge 'skip_4': .* is not what its source 'enc1'"):
        segtrace.describe(net, X)
    assert segtrace.describe(net, X, edges={}).edges == ()


def test_what_was_found_goes_with_the_plain_values_and_is_not_looked_for_again():
    net = plain_conv_unet()
    found = look(net, edges.resolve(net, {"skip_1": skip(1)}), [Stage("enc3", STAGES["enc3"])])
    plain = {name: edge.to_plain() for name, edge in found.items()}
    from_file = {"skip_1": plain["skip_1"] | {"part": list(plain["skip_1"]["part"])}}
    for again in (plain, from_file):
        (edge,) = edges.resolve(net, again)
        assert edge == found["skip_1"]
    runs = []
    handle = net.register_forward_hook(lambda *_: runs.append(1))
    look(net, [edge])
    handle.remove()
    assert not runs


def test_describe_says_which_channels_an_edge_is():
    net = plain_conv_unet()
    told = str(segtrace.describe(net, X, STAGES, edges=EDGES, output=first))
    assert "skip_3: enc1 -> dec3 at decoder.stages.2, argument 0 (cat with decoder.trans" in told
    assert "channels 4 … 7" in told


def test_the_joint_integral_stands_on_the_right_halves():
    net = plain_conv_unet()
    means = {"skip_3": torch.zeros(4), "up_3": torch.zeros(4)}
    everywhere = targets.organ(1, "all")
    options = {"steps": 1, "joint": True, "edges": {"skip_3": skip(3), "up_3": up(3)}}
    flow = segtrace.integrate(net, None, X, everywhere, means, output=first, **options)
    with torch.no_grad():
        head, stage = net.decoder.seg_layers[2], net.decoder.stages[2]
        nothing = head(stage(torch.zeros(2, 8, 32, 32).double()))[:, 1].sum((1, 2))
        whole = net(X)[0][:, 1].sum((1, 2))
    torch.testing.assert_close(flow.change[0, 0], whole - nothing)
    lone = {"steps": 1, "joint": True, "edges": {"skip_3": skip(3, source="encoder.stages.0")}}
    flow = segtrace.integrate(net, None, X, everywhere, means, output=first, **lone)
    with torch.no_grad():
        kept = {}
        handle = net.decoder.transpconvs[2].register_forward_hook(
            lambda _m, _i, out: kept.__setitem__("up", out)
        )
        net(X)
        handle.remove()
        without = head(stage(cat((kept["up"], torch.zeros_like(kept["up"])), 1)))[:, 1].sum((1, 2))
    torch.testing.assert_close(flow.change[0, 0], whole - without)


class Join(nn.Module):
    def __init__(self):
        super().__init__()
        self.held = nn.Identity()

    def forward(self, u, k):
        return self.held(cat((u, k), 1))


class OneLevel(nn.Module):
    """A skip and an up path from one module, with no stage between; ``wire`` says how they join."""

    def __init__(self, wire, below=lambda bot, x: bot(x)):
        super().__init__()
        self.wire, self.below = wire, below
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.enc, self.bot = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)
            self.side, self.head = nn.Conv2d(2, 2, 1), nn.Conv2d(4, 2, 1)
        self.dec, self.up = Join(), nn.Upsample(scale_factor=2)
        self.double()

    def forward(self, x):
        a = self.enc(x)
        b = self.up(self.below(self.bot, nn.functional.avg_pool2d(a, 2)))
        return self.head(self.wire(self, a, b))


FROM_ENC = {"stage": "dec", "module": "dec", "argument": 0, "source": "enc"}
BY_NAME, BY_PLACE = (lambda n, a, b: n.dec(b, k=a)), (lambda n, a, b: n.dec(b, a))


def residual(bot, x):
    return x + bot(x)


def bare(_bot, x):
    return x


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    ("wire", "below", "argument"),
    [
        (BY_NAME, None, "'k'"),
        (BY_PLACE, None, "1"),
        (BY_NAME, residual, "'k'"),
        (BY_NAME, bare, "'k'"),  # pooled and raised again, no weight on the way
        (lambda n, a, b: n.dec(b, k=nn.functional.pad(a, (1, 1))[..., 1:-1]), None, "'k'"),
        (lambda n, a, b: n.dec(b, k=torch.tanh(a)), None, "'k'"),
        (lambda n, a, b: n.dec(b, k=a * n.side(a).sigmoid()), None, "'k'"),
    ],
)
def test_an_up_path_is_not_taken_for_the_skip_of_the_same_source(wire, below, argument, frozen):
    net = OneLevel(wire, *([below] if below else [])).requires_grad_(not frozen)
    said = (
        rf"^edge 'edge': what enters dec as argument 0 .* enters as argument={argument} is as near"
    )
    with pytest.raises(InputError, match=said):
        edge_of(net, FROM_ENC)
    assert all(p.requires_grad is not frozen for p in net.parameters())
    right = FROM_ENC | {"argument": eval(argument)}
    assert edge_of(net, right).part == (0, 2)
    for source in ("up", "bot") if below is None else ("up",):
        assert edge_of(net, FROM_ENC | {"source": source}).part == (0, 2)


def test_of_two_paths_with_weights_from_one_source_neither_is_taken():
    net = OneLevel(lambda n, a, b: n.dec(b, n.side(a)))
    for argument, source in ((0, "up"), (1, "side")):
        said = rf"^edge 'edge': .* argument={1 - argument}.* as source the module whose output"
        with pytest.raises(InputError, match=said):
            edge_of(net, FROM_ENC | {"argument": argument})
        assert edge_of(net, FROM_ENC | {"argument": argument, "source": source}).part == (0, 2)


def test_a_half_with_weights_is_not_taken_for_the_skip_where_the_skip_stands_beside():
    net = OneLevel(lambda n, a, b: n.dec.held(cat((n.crop(a), b), 1)))
    net.crop = nn.Tanh()
    half = {"module": "dec.held", "joined": "cat", "beside": "crop"}
    with pytest.raises(InputError, match=r"^edge 'edge': .* what enters beside crop is .* nearer"):
        edge_of(net, FROM_ENC | half)
    assert edge_of(net, FROM_ENC | half | {"beside": "up"}).part == (0, 2)


def test_an_up_path_with_weights_is_the_edge_of_its_source():
    net = OneLevel(lambda n, a, b: n.dec(n.side(b), k=a))
    assert edge_of(net, FROM_ENC | {"source": "bot"}).part == (0, 2)
    assert edge_of(net, FROM_ENC | {"source": "enc"} | {"argument": "k"}).part == (0, 2)


@pytest.mark.parametrize(
    "change", [lambda n, a: a * n.side(a).sigmoid(), lambda n, a: a + n.side(a), lambda n, a: 2 * a]
)
def test_a_skip_that_is_gated_or_added_to_on_its_way_is_still_the_skip(change):
    net = OneLevel(lambda n, a, b: n.dec(change(n, a), k=b))
    assert edge_of(net, FROM_ENC).part == (0, 2)
    net = OneLevel(lambda n, a, b: n.dec(b, change(n, a)))
    assert edge_of(net, FROM_ENC | {"argument": 1}).part == (0, 2)
