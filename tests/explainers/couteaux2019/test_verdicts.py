"""Sensitive: what may be said, and how often it is said of nothing."""

from dataclasses import replace

import pytest
import torch

from helpers import nets
from helpers.explaining import X, explained, network
from segtrace.explainers.couteaux2019.controls import Lines, shuffled
from segtrace.explainers.couteaux2019.deepdream import DeepDream
from segtrace.explainers.couteaux2019.features import NAMES, Ruler
from segtrace.explainers.couteaux2019.trajectory import Trajectory
from segtrace.explainers.couteaux2019.verdicts import judge
from segtrace.explainers.couteaux2019.words import of_organ
from segtrace.measures.significance import ALPHA

NULLS = 40


def random_network(seed):
    return nets.stirred(
        lambda: torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(4, 3, 3, padding=1),
        ),
        seed,
    )


def prediction(net, x):
    with torch.no_grad():
        return net(x).argmax(1)


def judged(net, cases=6, seed=0, truth=None, **options):
    """Of a network that is always right, unless there is a truth."""
    x = nets.images(cases, 12, seed=seed)
    truth = prediction(net, x) if truth is None else truth
    of = network(region="pred", net=net, x=x, truth=truth)
    probes = replace(of.probes, cases=tuple(map(str, range(cases))))
    return explained(DeepDream(draws=2, **{"steps": 2} | options), of._replace(probes=probes))


class Bright(torch.nn.Module):
    """Class 1 where it is bright around; the others by what differs from one pixel to the next."""

    def __init__(self, side=5):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, side, padding=side // 2).double()
        chance = torch.Generator().manual_seed(0)
        with torch.no_grad():
            other = torch.randn(3, 1, side, side, generator=chance).double()
            self.conv.weight.copy_(2 * (other - other.mean((-2, -1), keepdim=True)))
            self.conv.weight[1] = 0.2 + 0.1 * torch.rand(side, side, generator=chance)
            self.conv.bias.copy_(torch.tensor([0.0, -0.125 * side**2, 0.0]))

    def forward(self, x):
        return self.conv(x)


def test_a_network_that_looks_for_brightness_is_called_sensitive_to_it():
    found = judged(Bright(), steps=8)
    one = next(v for v in found.verdicts if (v.organ, v.feature) == ("a", "mean"))
    assert one.word == "sensitive"
    assert one.step > one.step_shuffled > 0
    assert "makes its region of step 0 brighter" in " ".join(of_organ("a", found.verdicts, 8))


def test_of_four_cases_nothing_is_said():
    found = judged(Bright(), cases=4, steps=8)
    assert {one.word for one in found.verdicts} == {"no claim"}
    assert of_organ("a", found.verdicts, 8) == ["A: 4 cases, no claim."]


def test_of_networks_that_hold_nothing_few_are_called_sensitive(capsys):
    said = over_cases = known = 0
    for seed in range(NULLS):
        found = judged(random_network(seed), seed=1000 + seed).verdicts
        known += any(one.p_cases < 1 for one in found)
        said += any(one.word == "sensitive" for one in found)
        over_cases += any(one.p_cases <= ALPHA for one in found)
    with capsys.disabled():
        print(f"\nDeepDream: of {NULLS} random networks {said} are called sensitive, "
              f"{over_cases} by cases alone")  # fmt: skip
    assert known >= 0.9 * NULLS  # where a region is empty on two of six slices there is no test
    assert said <= 5  # of 40 at 5 %, more in 1 % of such tests
    assert over_cases > 2 * 3  # why networks stand beside: cases of one agree with one another


@pytest.mark.parametrize("found", [True, False])
def test_of_an_organ_that_the_network_does_not_find_nothing_is_said(found):
    """Behind the same numbers: labels that are its prediction, and those that are not."""
    net = Bright()
    own = prediction(net, nets.images(6, 12, seed=0))
    judged_by = judged(net, steps=8, truth=own if found else 1 - own.clamp(max=1))
    verdicts = [one for one in judged_by.verdicts if one.organ == "a"]
    assert any(one.word == "sensitive" for one in verdicts) is found
    said = " ".join(of_organ("a", judged_by.verdicts, 8))
    assert ("Dice below 0.5" in said) is not found
    assert "over 8 steps, mean over cases: area +" in said
    assert all((one.why_not == "") is found for one in verdicts)


def test_what_does_not_change_is_not_called_robust():
    features = {name: torch.ones(2, 1, 1, 6).double() for name in NAMES}
    features["dice"][-1] = 0.8
    scores, absent = torch.ones(2, 1, 6).double(), torch.zeros(1, 6).bool()
    trajectory = Trajectory(("a",), ("a",), (0, 9), scores, features, {}, X, absent)
    nothing = torch.zeros(2, 1, 6).double()
    more = torch.zeros(3, len(NAMES), 1, 6).double()
    lines = Lines(
        nothing, nothing.expand(19, 2, 1, 6), nothing.expand(3, 2, 1, 6), None, more, None
    )
    ruler = Ruler.of(torch.full((6, 2), torch.nan), 2, None, hounsfield=False)
    found = judge(trajectory, lines, tuple("abcdef"), ruler, {})
    assert {one.word for one in found} == {"no claim"}
    said = " ".join(of_organ("a", found, 9))
    assert "elongation +0 (" in said
    assert "robust" not in said


def test_a_control_that_moves_as_much_takes_the_claim():
    """The untrained network looks for the same."""
    x = nets.images(6, 12)
    of = network(region="pred", net=Bright(), x=x, truth=prediction(Bright(), x))
    of = of._replace(probes=replace(of.probes, cases=tuple("abcdef")))
    words = {}
    for name, before in (("same", Bright()), ("other", random_network(3))):
        found = explained(DeepDream(draws=2, steps=8, untrained=before), of)
        words[name] = next(v for v in found.verdicts if v.feature == "mean").word
    assert words == {"same": "no claim", "other": "sensitive"}


def test_a_shuffled_network_holds_the_same_numbers_in_another_order():
    net = nets.stirred(
        lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
    )
    before = {name: one.clone() for name, one in net.state_dict().items()}
    one, other, again = shuffled(net, 0), shuffled(net, 1), shuffled(net, 0)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
        mine = one.state_dict()[name]
        assert torch.equal(mine.flatten().sort().values, tensor.flatten().sort().values)
        assert torch.equal(mine, again.state_dict()[name])
    assert not torch.equal(one[0].weight, net[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize("cases", [5, 8])
def test_flips_of_so_few_cases_suffice(cases):
    assert any(one.word == "sensitive" for one in judged(Bright(), cases=cases, steps=8).verdicts)
