"""A network of another training is given what it was trained on."""

import pytest
import torch
from torch import nn

from helpers.alone import group_of_one
from segtrace import InputError
from segtrace.network.undisturbed import unwrapped
from segtrace.training.slices.entering import Entering

X = torch.linspace(0, 1, 12, dtype=torch.float64).reshape(2, 1, 2, 3)
HU = -160 + 400 * X
WINDOW = {"window": [-160, 240]}


def entering(given, x=X, net=None):
    return Entering.of(given, net)(x)


def test_hounsfield_units_are_normalised_as_nnu_net_does():
    found = entering(WINDOW | {"mean": 100.0, "std": 80})
    torch.testing.assert_close(found, (HU - 100) / 80)


def test_values_from_0_to_1_are_normalised_a_channel_as_imagenets():
    mean, std = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
    found = entering(
        WINDOW | {"mean": mean, "std": std, "values": "unit", "channels": "repeat"},
        net=nn.Sequential(nn.Conv2d(3, 1, 1)),
    )
    for k in range(3):
        torch.testing.assert_close(found[:, k], (X[:, 0] - mean[k]) / std[k])


def test_each_slice_is_clipped_to_its_own_percentiles():
    found = entering({"percentile": [20, 80]})
    for one, x in zip(found, X, strict=True):
        low, high = (x.flatten().sort()[0][k] for k in (1, 4))  # of six values, 20 and 80 %
        torch.testing.assert_close(one, (x.clamp(low, high) - low) / (high - low))
    found = entering(WINDOW | {"percentile": [20, 80], "mean": 0, "std": 1})
    for one, x in zip(found, HU, strict=True):
        low, high = (x.flatten().sort()[0][k] for k in (1, 4))
        torch.testing.assert_close(one, x.clamp(low, high))


def test_nothing_that_is_asked_for_changes_nothing():
    assert entering({}) is X
    assert entering(WINDOW) is X
    flat = torch.zeros(1, 1, 2, 2)
    assert torch.equal(entering({"percentile": [1, 99]}, flat), flat)


def test_it_stands_before_the_network_during_the_block_alone():
    net = nn.Sequential(nn.Conv2d(3, 2, 1)).double()
    with Entering.of({"channels": "repeat"}, net).before(net):
        inside = net(X)
    assert torch.equal(inside, net(X.expand(-1, 3, -1, -1)))
    assert not net._forward_pre_hooks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ct", "preprocessing is 'ct'; give a mapping, e.g. {window: "),
        ({"windw": [0, 1]}, "no option 'preprocessing.windw'.*did you mean preprocessing.window"),
        ({"window": [1, 0]}, r"preprocessing.window=\[1, 0\]; give \[low, high\], low < high"),
        ({"window": 3}, "give .low, high., low < high"),
        ({"window": ["a", 1]}, "give numbers"),
        ({"percentile": [1, 101]}, "low < high, 0 to 100"),
        ({"mean": 1}, "one of mean and std; give both, or neither"),
        ({"mean": 1, "std": 0}, "preprocessing.std=0; give numbers above 0"),
        (
            {"mean": [1, 2], "std": 1},
            "2 numbers of mean and std for 1 channels; give one, or one a",
        ),
        ({"mean": float("nan"), "std": 1}, "preprocessing.mean=nan; give numbers"),
        ({"mean": [], "std": []}, "preprocessing.mean=.*; give numbers"),
        ({"values": "hu"}, "no preprocessing.values 'hu'; allowed are HU, unit"),
        ({"channels": 0}, "preprocessing.channels=0; give repeat, or a whole number from 1"),
        ({"channels": "repeat"}, "no convolution that says how many; give a number"),
    ],
)
def test_what_cannot_be_is_one_line_with_what_can(given, message):
    with pytest.raises(InputError, match=message) as found:
        Entering.of(given, nn.Identity())
    assert "\n" not in str(found.value)


def test_remedies_that_are_typed_work():
    net = nn.Conv2d(3, 1, 1)
    Entering.of({"mean": [1, 2], "std": 1, "channels": 2})
    Entering.of({"channels": 3}, nn.Identity())
    Entering.of({"channels": "repeat"}, net)
    Entering.of({"values": "HU"})


@pytest.fixture
def alone():
    """A group of this process alone."""
    with group_of_one():
        yield


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "wrap", [torch.compile, nn.DataParallel, nn.parallel.DistributedDataParallel]
)
def test_it_stands_before_the_network_inside_a_wrapper(wrap):
    inner = nn.Sequential(nn.Conv2d(3, 1, 1)).double()
    whole = wrap(inner)
    given = WINDOW | {"mean": 100.0, "std": 80, "channels": "repeat"}
    expected = inner(((HU - 100) / 80).expand(-1, 3, -1, -1))
    with Entering.of(given, whole).before(whole):
        torch.testing.assert_close(unwrapped(whole)(X), expected)


def test_images_of_several_channels_are_one_line_whose_remedy_works():
    given, x = {"mean": 0.5, "std": 0.5, "values": "unit"}, X.repeat(1, 3, 1, 1)
    with pytest.raises(InputError, match=r"have 3 channels; say preprocessing.channels=3"):
        entering(given, x)
    torch.testing.assert_close(entering(given | {"channels": 3}, x), 2 * x - 1)
    assert entering({"channels": 1}, x) is x
