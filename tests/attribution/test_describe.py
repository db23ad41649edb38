"""Describe runs a network in float64 and leaves it as it was, however it is put together."""

import threading
from functools import lru_cache
from itertools import pairwise

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import segtrace
from helpers import nets
from helpers.known_networks import dyn_unet
from helpers.untouched import untouched
from segtrace import InputError
from segtrace.network import edges, stages

X = nets.images(2, 16).float()


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().eval()


class Sequence(nn.Module):
    """down, what is under test in the middle, last."""

    def __init__(self, middle=None):
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, padding=1)
        self.middle = nn.Identity() if middle is None else middle
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(torch.tanh(self.between(torch.tanh(self.down(x)))))

    def between(self, x):
        return self.middle(x)


PLACES = {"enc1": "down", "head": "last"}


def conv():
    return nn.Conv2d(4, 4, 3, padding=1)


class Shared(Sequence):
    """A module by two paths, and one parameter in two modules."""

    def __init__(self):
        super().__init__(conv())
        self.again, self.tied = self.middle, conv()
        self.tied.weight = self.middle.weight

    def between(self, x):
        return self.tied(torch.tanh(self.again(self.middle(x))))


class Doubles(nn.Module):
    def forward(self, weight):
        return 2 * weight


def parametrized():
    middle = conv()
    parametrize.register_parametrization(middle, "weight", Doubles())
    return Sequence(middle)


class Keeps(Sequence):
    """Keeps for the next pass what it makes on the first one, here and there."""

    def __init__(self):
        super().__init__()
        self.grid, self.kept, self.calls = None, {"masks": []}, 0
        self.register_buffer("seen", torch.zeros(()))

    def between(self, x):
        self.calls += 1
        self.seen = self.seen + 1
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[-1])
        if "scale" not in self.kept:
            self.kept["scale"] = torch.full((1, 4, 1, 1), 0.5)
            self.proj = nn.Conv2d(4, 4, 1)
            nn.init.ones_(self.proj.weight)
        return self.proj(x * self.grid * self.kept["scale"] * ramp(x.shape[-1]))


@lru_cache
def ramp(count):
    return torch.linspace(0, 1, count)


class Hides(Sequence):
    """Modules and tensors where ``modules()`` and ``state_dict`` do not look."""

    def __init__(self):
        super().__init__()
        self.convs = [conv(), (conv(), {"last": conv()})]
        self.factors = (torch.full((1, 4, 1, 1), 2.0), torch.Size([4]))

    def between(self, x):
        first, (second, rest) = self.convs
        kernel = self.factors[0].expand(4, 4, 1, 1)
        x = nn.functional.conv2d(rest["last"](second(first(x))), kernel)
        return x / self.factors[1].numel()


class Rows(Sequence):
    """A recurrent layer, which keeps references to its weights in a list of its own."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def between(self, x):
        return torch.stack([self.lstm(row.mT)[0].mT for row in x.unbind(2)], 2)


class Fourier(Sequence):
    """Complex weights."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(4, 1, 1, dtype=torch.complex64))

    def between(self, x):
        return torch.fft.irfft2(torch.fft.rfft2(x) * self.weights, s=x.shape[2:])


class Locked(Sequence):
    """What no copy can be made of."""

    def __init__(self):
        super().__init__(conv())
        self.lock = threading.Lock()
        self.numbers = (number for number in range(3))

    def between(self, x):
        with self.lock:
            return super().between(x)


class Attends(Sequence):
    """Attention, whose fast path reads its weights on its own."""

    def __init__(self):
        super().__init__(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True))

    def between(self, x):
        return self.middle(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])


def pruned():
    middle = conv()
    prune.l1_unstructured(middle, "weight", amount=0.3)
    return Sequence(middle)


def listened_to():
    net = Sequence(conv())
    net.middle.register_full_backward_hook(lambda *_: None)
    return net


def by_hand():
    """A forward and hooks that know the modules themselves and not their names."""
    net = Sequence(conv())
    net.forward = lambda x: net.last(torch.tanh(net.middle(net.down(x))))
    net.middle.register_forward_hook(lambda _m, _i, out: out + net.middle.bias[:, None, None])
    return net


def scripted():
    with pytest.warns(DeprecationWarning, match="jit"):
        return Sequence(torch.jit.script(nn.Sequential(conv(), nn.BatchNorm2d(4)).eval()))


BUILDS = {
    "shared": Shared,
    "weight norm": lambda: Sequence(parametrizations.weight_norm(conv())),
    "spectral norm": lambda: Sequence(parametrizations.spectral_norm(conv())),
    "old spectral norm": lambda: Sequence(nn.utils.spectral_norm(conv())),
    "orthogonal": lambda: Sequence(parametrizations.orthogonal(nn.Conv2d(4, 4, 1))),
    "parametrized": parametrized,
    "pruned": pruned,
    "attends": Attends,
    "listened to": listened_to,
    "keeps": Keeps,
    "hides": Hides,
    "recurrent": Rows,
    "complex": Fourier,
    "locked": Locked,
    "by hand": by_hand,
    "batch norm in training": lambda: Sequence(nn.Sequential(conv(), nn.BatchNorm2d(4))),
}


def old_weight_norm():
    with pytest.warns(FutureWarning, match="weight_norm"):
        return Sequence(nn.utils.weight_norm(conv()))


BUILDS["old weight norm"] = old_weight_norm
BUILDS["scripted"] = scripted


@pytest.mark.parametrize("name", BUILDS)
def test_a_network_is_right_in_float64_and_the_same_afterwards(name):
    net = seeded(BUILDS[name])
    net.train(name == "batch norm in training")
    with torch.random.fork_rng(), torch.no_grad():
        if name not in ("keeps", "batch norm in training"):
            expected = net(X)
    ramp.cache_clear()
    with untouched(net, X):
        described = segtrace.describe(net, X, PLACES)
    assert described.gradient_cut == ()
    for report in described.stages:
        assert report.gradient == pytest.approx(report.quotient, rel=1e-5)
        assert report.gradient != 0
    with torch.no_grad():
        if name not in ("keeps", "batch norm in training"):
            assert torch.equal(net(X), expected)
        assert net(X).dtype == torch.float32  # with all that it keeps now


def test_a_module_by_two_paths_keeps_its_very_parameters():
    net = DynUNet(2, 1, 3, [3] * 4, [1, 2, 2, 2], [2] * 3, filters=(4, 6, 8, 8)).eval()
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        expected = net(x)
    before = dict(net.named_parameters(remove_duplicate=False))
    with untouched(net):
        segtrace.describe(net, x)
    after = dict(net.named_parameters(remove_duplicate=False))
    assert all(after[name] is value for name, value in before.items())
    assert {type(value) for value in after.values()} == {nn.Parameter}
    with torch.no_grad():
        assert torch.equal(net(x), expected)
    net(x).sum().backward()
    assert all(value.grad is not None for name, value in after.items() if "skip" in name)


class Breaks(Sequence):
    """Fails in the pass of that number."""

    def __init__(self, number, error):
        super().__init__(conv())
        self.number, self.error = number, error

    def between(self, x):
        runs.append(1)
        if len(runs) == self.number:
            raise self.error
        return super().between(x)


runs = []


@pytest.mark.parametrize("number", [1, 2, 3])  # as it is, in float64, with a stage moved
@pytest.mark.parametrize("error", [RuntimeError("on purpose"), KeyboardInterrupt()])
def test_a_network_is_the_same_after_an_exception_at_any_moment(number, error):
    net = seeded(lambda: Breaks(number, error))
    runs.clear()
    with untouched(net, X), pytest.raises(type(error)):
        segtrace.describe(net, X, PLACES)
    assert torch.get_default_dtype() == torch.float32
    with torch.no_grad():
        assert net(X).dtype == torch.float32


class Makes(Sequence):
    """Makes tensors of its own, as TransUNet's encoder does, in the precision it asks for."""

    def __init__(self, make):
        super().__init__(conv())
        self.make = make

    def between(self, x):
        return self.make(super().between(x))


def padded(x, **options):
    room = torch.zeros(len(x), 4, x.shape[2] + 2, x.shape[3] + 2, **options)
    room[:, :, 1:-1, 1:-1] = x
    return room


MAKES = {
    "default": padded,
    "named": lambda x: padded(x, dtype=torch.float32),
    "half": lambda x: padded(x, dtype=torch.float16).to(torch.float32),
    "float": lambda x: x.float(),
    "to": lambda x: x.to(torch.float32).to("cpu", torch.float32),
    "to by name": lambda x: x.to(dtype=torch.bfloat16).type(torch.float32),
    "softmax": lambda x: x.softmax(1, dtype=torch.float32),
    "scale": lambda x: x * torch.tensor([0.1, 0.2, 0.3, 0.4]).view(-1, 1, 1),
    "half and back": lambda x: x.half().float(),
}


@pytest.mark.parametrize("name", MAKES)
def test_tensors_that_a_network_makes_do_not_round_the_quotient(name):
    net = seeded(lambda: Makes(MAKES[name]))
    with untouched(net):
        described = segtrace.describe(net, X, PLACES)
    assert described.gradient_cut == ()
    for report in described.stages:
        assert report.gradient == pytest.approx(report.quotient, rel=1e-6)


def test_the_default_precision_is_restored_whatever_it_was():
    torch.set_default_dtype(torch.float64)
    try:
        segtrace.describe(seeded(Sequence).double(), X.double(), PLACES)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


class Helper:
    """No module, so nobody can find what it holds."""

    def __init__(self):
        self.conv = conv()


class Holds(Sequence):
    def __init__(self):
        super().__init__()
        self.helper = Helper()

    def between(self, x):
        return self.helper.conv(x)


def test_a_module_that_cannot_be_found_is_refused_with_what_works():
    net = seeded(Holds)
    with untouched(net), pytest.raises(InputError, match=r"does not run in float64.* attributes"):
        segtrace.describe(net, X, PLACES)
    net.conv = net.helper.conv  # what the message says
    assert segtrace.describe(net, X, PLACES).gradient_cut == ()


@pytest.mark.parametrize("build", [nn.LazyConv2d, nn.LazyBatchNorm2d])
def test_a_network_whose_weights_are_not_made_yet_is_refused(build):
    lazy = build(4, 3, padding=1) if build is nn.LazyConv2d else build()
    net = seeded(lambda: Sequence(lazy))
    for call in (segtrace.describe, lambda *a: segtrace.trace(*a[:1], a[2], a[1], torch.ones(1))):
        with pytest.raises(InputError, match=r"no values yet.*first: net\(image\)"):
            call(net, X, PLACES)
    net(X)
    segtrace.describe(net, X, PLACES)


class UNet(nn.Module):
    """Somebody's own, which has the name of MONAI's."""

    def __init__(self):
        super().__init__()
        self.inc, self.down = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.outc = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        skip = self.inc(x)
        return self.outc(torch.cat((skip, self.down(skip)), 1))


OWN = {"enc1": "inc", "enc2": "down", "head": "outc"}
OWN_EDGES = {
    "skip_1": {"stage": "head", "module": "outc", "argument": 0, "joined": "cat",
               "beside": "down", "source": "enc1"},
}  # fmt: skip


def test_a_class_is_known_by_its_module_and_not_by_its_name():
    net = seeded(UNet)
    described = segtrace.describe(net, X, OWN)
    assert described.edges == ()
    (edge,) = segtrace.describe(net, X, OWN, edges=OWN_EDGES).edges
    assert edge.part == (0, 4)
    said = (
        r"places of UNet are not in the table \(.*\) \(this one is .*test_describe's\); "
        r"name them: stages=.*for none can be proposed: .*inc \(Conv2d\)"
    )
    with pytest.raises(InputError, match=said):
        segtrace.describe(net, X)


class Up(nn.Module):
    def __init__(self):
        super().__init__()
        self.upsample, self.conv = nn.Identity(), nn.Conv2d(8, 4, 1)

    def forward(self, skip, below):
        return self.conv(torch.cat((skip, self.upsample(below)), 1))


def test_a_class_of_the_same_name_is_not_known_even_where_its_modules_are_called_alike():
    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_0, self.down_1 = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)
            self.upcat_1, self.final_conv = Up(), nn.Conv2d(4, 3, 1)

        def forward(self, x):
            skip = self.conv_0(x)
            return self.final_conv(self.upcat_1(skip, self.down_1(skip)))

    Theirs.__name__ = Theirs.__qualname__ = "BasicUNet"
    net = seeded(Theirs)
    for call in (stages.resolve, edges.resolve):
        with pytest.raises(InputError, match="places of BasicUNet are not in the table"):
            call(net)
    assert segtrace.describe(net, X, {"enc1": "conv_0", "dec1": "upcat_1"}).edges == ()
    assert stages.known(net) == edges.known(net) == ()


class Wired(BasicUNet):
    """A class of the table from which its user took a part that the table names."""

    def __init__(self):
        super().__init__(2, 1, 3, features=(4, 4, 4, 4, 4, 4))
        self.upcat_1 = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.final_conv(self.upcat_1(self.conv_0(x)))


def test_stages_that_are_given_win_over_a_table_that_does_not_fit():
    net = seeded(Wired)
    described = segtrace.describe(net, X, {"enc1": "conv_0", "dec1": "upcat_1"})
    assert [report.stage.name for report in described.stages] == ["enc1", "dec1"]
    assert described.edges == ()


def test_a_subclass_of_a_known_network_is_known():
    class Mine(DynUNet):
        pass

    net = dyn_unet(2)
    net.__class__ = Mine
    assert len(segtrace.describe(net.eval(), torch.rand(1, 1, 32, 32)).edges) == 6


class Twice(nn.Sequential):
    """Convolution, BatchNorm and ReLU in place, two times, as U-Nets are written."""

    def __init__(self, taken, given):
        super().__init__()
        for channels in (taken, given):
            self.append(nn.Conv2d(channels, given, 3, padding=1, bias=False))
            self.extend((nn.BatchNorm2d(given), nn.ReLU(inplace=True)))


class Untrained(nn.Module):
    """Its lowest stages hardly change the logits: what a step does to them is lost in rounding.

    ``detached`` is the share of the derivative that a shortcut around ``cut`` hides from autograd.
    """

    def __init__(self, bilinear, cut=None, detached=0.02):
        super().__init__()
        widths = [8, 16, 32, 64, 64 if bilinear else 128]
        self.cut, self.detached = cut, detached
        self.enc1 = Twice(1, widths[0])
        for number, (above, below) in enumerate(pairwise(widths), 1):
            if bilinear:
                up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                taken, given = 2 * above, above // 2 if number > 1 else above
            else:
                up = nn.ConvTranspose2d(below, above, 2, 2)
                taken, given = 2 * above, above
            self.add_module(f"enc{number + 1}", nn.Sequential(nn.MaxPool2d(2), Twice(above, below)))
            self.add_module(f"up{5 - number}", up)
            self.add_module(f"dec{5 - number}", Twice(taken, given))
        self.head = nn.Conv2d(8, 9, 1)

    def forward(self, x):
        skips = [self.enc1(x)]
        for number in range(2, 6):
            skips.append(self.get_submodule(f"enc{number}")(skips[-1]))
        x = self.shortcut("enc5", skips.pop())
        for number in range(1, 5):
            below = self.get_submodule(f"up{number}")(x)
            x = self.get_submodule(f"dec{number}")(torch.cat((skips.pop(), below), 1))
            x = self.shortcut(f"dec{number}", x)
        return self.head(x)

    def shortcut(self, name, x):
        if name != self.cut:
            return x
        return (1 - self.detached) * x + self.detached * x.detach()


LEVELS = [*(f"enc{number}" for number in range(1, 6)), *(f"dec{number}" for number in range(1, 5))]


def cut_untrained(seed, bilinear, cut=None, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Untrained(bilinear, cut, **options).eval()
        image = torch.rand(1, 1, 64, 64)
    return segtrace.describe(net, image, {name: name for name in (*LEVELS, "head")}).gradient_cut


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_tiny_activations_are_neither_called_cut_nor_hide_a_cut(seed, bilinear):
    assert cut_untrained(seed, bilinear) == ()
    # Beside these shortcuts no path leads on from the stages before them.
    assert cut_untrained(seed, bilinear, "dec4") == tuple(LEVELS)
    assert "enc5" in cut_untrained(seed, bilinear, "enc5")
    assert {"enc5", "dec1"} <= set(cut_untrained(seed, bilinear, "dec1"))


def test_a_path_that_is_cut_whole_is_found_where_small_steps_are_lost_in_rounding():
    net = nn.Sequential(nn.Conv2d(1, 4, 1), Faint(), nn.Conv2d(4, 3, 1))
    assert segtrace.describe(seeded(lambda: net), X, {"enc1": "0"}).gradient_cut == ("enc1",)


class Faint(nn.Module):
    """Hides all of itself from autograd, and is a very small part of what goes on."""

    def forward(self, x):
        return 1 + 1e-11 * x.detach() + 0 * x


def test_every_column_of_the_table_that_is_no_word_of_the_field_is_explained_below_it():
    head, *_, key = str(segtrace.describe(Sequence(), X[:1], PLACES)).split("\n")[:4]
    explained = [part.split(":")[0] for part in key.split("; ")]
    assert explained == ["cells", "stride", "kappa", "gradient", "average"]
    assert set(explained) < set(head.split())


def test_a_network_in_no_table_whose_edges_nobody_named_says_how():
    told = str(segtrace.describe(nets.plain(), X, nets.PLAIN_STAGES))
    assert "\nno edges: Sequential is in no table; name them, edges={'skip_1': " in told
    assert "no edges" not in str(segtrace.describe(nets.plain(), X, nets.PLAIN_STAGES, edges={}))
