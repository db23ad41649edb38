"""A network that the user names, and weights whose names differ by a wrapper."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from helpers.plain_conv_unet import PlainConvUNet
from segtrace import InputError
from segtrace.checkpoint.loading import fill
from segtrace.checkpoint.own_network import built, fitted, named, network_class
from segtrace.checkpoint.reading import read
from segtrace.errors import UsersCodeError


def inner():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Sequential(nn.Conv2d(2, 2, 1)))


class Logits(nn.Module):
    """What a builder returns that picks the logits of another network."""

    def __init__(self, net, scale=False):
        super().__init__()
        self.model = net
        if scale:
            self.register_buffer("mean", torch.zeros(1), persistent=False)

    def forward(self, x):
        return self.model(x)


class Training(nn.Module):
    """A Lightning module: the network, a teacher that is like it, and a loss with weights."""

    def __init__(self, net):
        super().__init__()
        self.net, self.loss = net, nn.CrossEntropyLoss(torch.ones(2))

    def forward(self, x):
        return self.net(x)


def wrapped(kind):
    net = inner()
    if kind == "compiled part":
        net[2] = torch.compile(net[2])
        return net
    if kind == "parallel part":
        net[2] = nn.DataParallel(net[2])
        return net
    wrappers = {
        "bare": lambda net: net,
        "logits": Logits,
        "twice": lambda net: Logits(Logits(net, scale=True)),
        "parallel": nn.DataParallel,
        "compiled": torch.compile,
        "compiled logits": lambda net: torch.compile(Logits(net)),
        "average": AveragedModel,
        "lightning": Training,
    }
    return wrappers[kind](net)


KINDS = [
    "bare", "logits", "twice", "parallel", "compiled", "compiled logits", "compiled part",
    "parallel part", "average", "lightning",
]  # fmt: skip


@pytest.mark.parametrize("builder", KINDS)
@pytest.mark.parametrize("file", KINDS)
def test_whatever_wraps_the_network_or_its_weights_they_fit(builder, file):
    torch.manual_seed(0)
    source, net = wrapped(file), wrapped(builder)
    found = fitted({"state_dict": source.state_dict(), "epoch": 3}, net)
    extra = {"n_averaged", "loss.weight"}  # of the wrapper's own
    missing, unexpected = net.load_state_dict(found, strict=False)
    assert {*missing} <= extra
    assert not unexpected
    ours, theirs = (
        [value for name, value in one.state_dict().items() if name not in extra]
        for one in (net, source)
    )
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_what_the_wrapper_of_the_weights_holds_besides_is_left_out():
    net = Logits(inner())
    saved = {f"net.{name}": value for name, value in inner().state_dict().items()}
    saved["loss.weight"] = torch.ones(2)
    assert fitted(saved, net).keys() == net.state_dict().keys()


def test_the_dict_in_which_most_weights_fit_is_taken():
    net = inner()
    right = {name: torch.ones_like(value) for name, value in net.state_dict().items()}
    wrong = {"0.weight": torch.zeros(2, 1, 3, 3)}
    for saved in (
        {"net": right, "optimizer": wrong},
        {"model": wrong, "ema": right},
        {"checkpoint": {"encoder": wrong, "whole": right}},
        {"model": right, "ema": wrong},
    ):
        assert torch.equal(fitted(saved, net)["0.weight"], right["0.weight"])


def under(words, value):
    state = inner().state_dict()
    return {f"{words}{name}": torch.full_like(one, value) for name, one in state.items()}


@pytest.mark.parametrize(
    ("saved", "one", "other"),
    [
        ({"ema": under("", 1), "net": under("", 2)}, "saved['ema']", "saved['net']"),
        (
            {"ema": {"state_dict": under("", 1)}, "net": {"state_dict": under("", 2)}},
            "saved['ema']['state_dict']",
            "saved['net']['state_dict']",
        ),
        (
            under("teacher.", 1) | under("student.", 2),
            "saved, names with student.*",
            "saved, names with teacher.*",
        ),
        ({"state_dict": under("net.", 1) | under("ema.", 2)}, "with ema.*", "with net.*"),
    ],
)
def test_two_sets_that_fit_alike_are_named_and_the_remedy_works(saved, one, other):
    with pytest.raises(InputError, match="two sets of weights fit the network") as caught:
        fitted(saved, inner())
    said = str(caught.value)
    assert one in said
    assert other in said
    typed = said.partition("torch.save(")[2].removesuffix(", 'my.pth')")
    assert len({value.flatten()[0].item() for value in fitted(eval(typed), inner()).values()}) == 1


@pytest.mark.parametrize(
    "saved",
    [
        {"ema": under("", 1), "state_dict": under("", 2)},
        {"ema": under("", 1), "model": under("", 2)},
        {"a": {"ema": under("", 1), "network_weights": under("", 2)}},
        {"state_dict": under("ema.", 1) | under("model.", 2)},
        {"net": under("", 2), "copy": under("", 2)},
        {"net": under("", 2), "small": {"0.weight": torch.ones(2, 1, 3, 3)}},
    ],
)
def test_a_usual_key_is_preferred_and_copies_are_one_set(saved):
    found = fitted(saved, inner())
    assert all((value == 2).all() for value in found.values())


def test_a_weight_that_is_lacking_stays_lacking():
    net = Logits(inner())
    saved = {f"module.{name}": value for name, value in inner().state_dict().items()}
    del saved["module.0.weight"]
    assert net.state_dict().keys() - fitted(saved, net).keys() == {"model.0.weight"}


def test_nnu_nets_own_file_is_read_as_values_and_fills_its_network(tmp_path):
    """As nnUNetTrainer writes it: numpy's numbers and a device beside the weights."""
    torch.manual_seed(0)
    source, net = PlainConvUNet(), PlainConvUNet()
    ema = [np.float64(0.5), np.float64(0.6)]
    saved = {
        "network_weights": source.state_dict(),
        "optimizer_state": torch.optim.SGD(source.parameters(), 0.01).state_dict(),
        "grad_scaler_state": None,
        "logging": {
            "mean_fg_dice": ema, "ema_fg_dice": ema, "dice_per_class_or_region": [ema, ema],
            "train_losses": [np.float32(1.0)], "lrs": [0.01], "epoch_start_timestamps": [1.7e9],
        },
        "_best_ema": ema[-1],
        "current_epoch": 2,
        "init_args": {"plans": {"a": [1, (2, 3)]}, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }  # fmt: skip
    path = tmp_path / "checkpoint_final.pth"
    torch.save(saved, path)
    fill(net, fitted(read(path), net), path)
    assert torch.equal(net.encoder.stages[0][0].weight, source.encoder.stages[0][0].weight)
    assert net.decoder.encoder is net.encoder


def test_counts_of_batches_that_an_old_file_lacks_are_not_missed(tmp_path):
    net = inner()
    old = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    fill(inner(), fitted({f"module.{name}": value for name, value in old.items()}, net), tmp_path)
    del old["1.running_var"]
    with pytest.raises(InputError, match=r"1 missing \(1.running_var\); 8 of 9 fit"):
        fill(net, fitted(old, net), tmp_path / "w.pth")


def test_the_weights_of_something_else_fit_nothing():
    assert not fitted({"a.b": torch.ones(1)}, inner()).keys() & inner().state_dict().keys()
    assert fitted({}, inner()) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such:build", "net=no_such:build: No module named"),
        ("build", "give module:function, e.g. my_module:build, typed where"),
        ("nets.Net", "net=nets.Net; give module:function, e.g. nets:Net, typed where"),
        ("nets.py:Net", "give module:function, e.g. nets:Net, typed where"),
        ("/a/b/nets.py:Net", "give module:function, e.g. nets:Net, typed where"),
        ("torch:no_such", "no_such"),
        ("math:e", "not callable"),
        (":build", "Empty module name"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line(name, message):
    with pytest.raises(InputError, match=message):
        named(name)


def test_the_arguments_of_a_file_are_handed_to_classes_of_networks_alone():
    assert network_class("torch.nn:Conv2d") is nn.Conv2d
    assert network_class(nn.Conv2d) is nn.Conv2d
    for name in ("os:system", "torch:load", "torch.nn:ModuleDict.update", "builtins:dict"):
        with pytest.raises(InputError, match=r"is no class of networks|update"):
            network_class(name)


def test_a_builder_that_returns_something_else_is_named():
    with pytest.raises(InputError, match="returns a str; a network is needed"):
        built("os:getcwd")


RAISING = """
from torch import nn

def build():
    return {}["depth"]

def ends():
    raise SystemExit(2)

def asks(width, *layers, depth=3, **options):
    return nn.Conv2d(1, width, depth)

def settles():
    return asks(3)
"""


def test_what_the_users_own_code_raises_is_one_line_with_its_cause(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"raising_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RAISING)
    (tmp_path / f"{name}_syntax.py").write_text("def build(:")
    (tmp_path / f"{name}_script.py").write_text("import no_such_package")
    for net, said, cause in (
        (f"{name}:build", "raised KeyError: 'depth'", KeyError),
        (f"{name}:ends", "raised SystemExit: 2", SystemExit),
        (f"{name}_syntax:build", f"importing {name}_syntax raised SyntaxError", SyntaxError),
        (
            f"{name}_script:build",
            "ModuleNotFoundError: No module named 'no_such_package'",
            ImportError,
        ),
    ):
        with pytest.raises(UsersCodeError) as caught:
            built(net)
        assert str(caught.value).startswith(f"net={net}")
        assert said in str(caught.value)
        assert isinstance(caught.value.__cause__, cause)


def test_a_builder_that_asks_for_arguments_is_told_as_one_without(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"asking_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RAISING)
    with pytest.raises(InputError, match=f"net={name}:asks needs width, .*say net={name}:my_net"):
        built(f"{name}:asks")
    assert isinstance(built(f"{name}:settles"), nn.Conv2d)
