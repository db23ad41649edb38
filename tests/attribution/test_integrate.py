import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from segtrace.attribution import targets
from segtrace.attribution.flow import Status
from segtrace.network import edges, stages
from segtrace.network.altering import altering

EVERYWHERE = {"organ": targets.organ(1, "all")}


def means(net, x, places):
    """A baseline: per-channel means of what passes, as stored from training slices."""
    found = {}

    def keep(place):
        return lambda t: (found.__setitem__(place.name, t.mean((0, 2, 3)).detach()), t)[1]

    with torch.no_grad(), altering(net, {place: keep(place) for place in places}):
        net(x)
    return found


def linear():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, (1, 3), padding=(0, 1))).double()
    net[0].weight.data = torch.tensor([1.0, -1]).reshape(2, 1, 1, 1).double()
    net[0].bias.data = torch.tensor([0.0, 5]).double()
    kernel = [[[1.0, 2, 1], [0, 1, -1]], [[0, -1, 0], [1, 0, 1]]]
    net[1].weight.data = torch.tensor(kernel).reshape(2, 2, 1, 3).double()
    return net, torch.tensor([1.0, 2, 3, 4]).double().reshape(1, 1, 1, 4)


@pytest.mark.parametrize("mean", [0.0, 2.5])
def test_where_the_rest_is_linear_it_is_the_gradient_times_the_difference(mean):
    net, x = linear()
    weights = torch.zeros(1, 2, 1, 4).double()
    weights[0, 0, 0, 1] = 1  # case A of methods.md 6.1
    flow = segtrace.integrate(net, {"a": "0"}, x, weights, {"a": torch.full((2,), mean)}, steps=3)
    gradient = torch.tensor([[1.0, 2, 1, 0], [0, 1, -1, 0]])
    activation = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 1]])
    expected = (gradient * (activation - mean)).sum(0)
    assert flow.maps["a"].flatten().tolist() == pytest.approx(expected.tolist())
    assert flow.completeness_error.item() == pytest.approx(0, abs=1e-12)
    assert flow.change.item() == pytest.approx(expected.sum().item())


def test_the_sum_is_the_change_of_the_score_when_the_stage_is_put_to_its_baseline():
    net, x = nets.basic_unet(), nets.images(2, 32)
    places = segtrace.network.stages.resolve(net)
    baseline = means(net, nets.images(3, 32, seed=8), places)
    target = targets.organs({"a": 1, "b": 2}, "gt", nets.labels(2, 32))
    flow = segtrace.integrate(net, ["enc2", "dec3", "head"], x, target, baseline, steps=16)
    weights = torch.stack([t(net(x)) for t in target.values()]).detach()
    for s, stage in enumerate(flow.stages):
        place = next(p for p in places if p.name == stage)
        with torch.no_grad():
            put = {place: lambda t, b=baseline[stage]: b[:, None, None].expand_as(t)}
            with altering(net, put):
                there = net(x)
            change = (weights * (net(x) - there)).flatten(2).sum(2)
        torch.testing.assert_close(flow.change[s], change)
        total = flow.maps[stage][0].flatten(2).sum(2)
        error = (total - change).abs() / change.abs()
        torch.testing.assert_close(flow.completeness_error[s], error)
        assert (error < 0.25).all()
    assert (flow.completeness_error[-1] < 1e-9).all()  # the head is the end of the path


def test_the_gradients_are_read_at_squares_of_equal_steps_and_weigh_what_they_stand_for():
    """Against a loop over the steps, and over a score whose integral is known."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), Cubed()).double()
    net[0].weight.data.fill_(1.0)
    x, baseline, steps = torch.full((1, 1, 1, 1), 2.0).double(), {"a": torch.tensor([1.0])}, 6
    flow = segtrace.integrate(net, {"a": "0"}, x, torch.ones(1, 1, 1, 1), baseline, steps)
    roots = [(step + 0.5) / steps for step in range(steps)]
    expected = sum(2 * root / steps * 3 * (1 + root**2) ** 2 for root in roots)
    assert flow.maps["a"].item() == pytest.approx(expected)
    assert expected == pytest.approx(2**3 - 1, abs=0.1)
    assert flow.change.item() == pytest.approx(2**3 - 1)


class Cubed(nn.Module):
    def forward(self, x):
        return x**3


def test_more_steps_leave_a_smaller_error():
    net = nets.stirred(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 2, 3)))
    x, baseline = nets.images(1, 12), {"a": torch.full((4,), 3.0)}
    errors = [
        segtrace.integrate(net, {"a": "0"}, x, EVERYWHERE, baseline, n).completeness_error.item()
        for n in (1, 4, 16, 64)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3


def test_what_misses_more_than_five_per_cent_is_incomplete_and_what_is_absent_says_so():
    net = nets.stirred(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 3, 3)))
    x, baseline = nets.images(1, 12), {"a": torch.full((4,), 6.0)}
    target = EVERYWHERE | {"nowhere": torch.zeros(1, 3, 8, 8)}
    flow = segtrace.integrate(net, {"a": "0"}, x, target, baseline, steps=1)
    assert flow.completeness_error[0, 0, 0] > 0.05
    assert flow.status[0, 0].flatten().tolist() == [Status.INCOMPLETE, Status.ABSENT]


def test_a_slice_does_not_depend_on_its_companions():
    net, x = nets.plain(), nets.images(3, 16)
    baseline = {"enc1": torch.full((4,), 0.1)}
    together = segtrace.integrate(net, {"enc1": "1"}, x, EVERYWHERE, baseline, 4)
    alone = segtrace.integrate(net, {"enc1": "1"}, x[1:2], EVERYWHERE, baseline, 4)
    torch.testing.assert_close(together.maps["enc1"][:, :, 1:2], alone.maps["enc1"])


@pytest.mark.parametrize("build", [nets.plain, lambda: nets.stirred(nets.Mixing)])
def test_organs_explained_in_one_pass_are_as_each_alone(build):
    net = build()
    place = "first" if isinstance(net, nets.Mixing) else "0"
    x, truth = nets.images(2, 16), nets.labels(2, 16).clone()
    truth[0][truth[0] == 1] = 0  # so that the first pass has another organ in each slice
    baseline = {"a": torch.zeros(net.get_submodule(place).out_channels).double()}
    both = {name: targets.organ(c, "gt", truth) for name, c in (("one", 1), ("two", 2))}
    found = segtrace.integrate(net, {"a": place}, x, both, baseline, steps=3)
    for o, (name, target) in enumerate(both.items()):
        alone = segtrace.integrate(net, {"a": place}, x, {name: target}, baseline, steps=3)
        torch.testing.assert_close(found.maps["a"][:, o], alone.maps["a"][:, 0])


class TwoWays(nn.Module):
    """y = 3 · skip + up: the route is known."""

    def __init__(self):
        super().__init__()
        self.skip, self.up, self.join = nn.Identity(), nn.Identity(), nn.Conv2d(2, 2, 1, bias=False)
        self.join.weight.data = torch.tensor([[3.0, 1], [3, 1]]).reshape(2, 2, 1, 1)

    def forward(self, x):
        return self.join(torch.cat([self.skip(x), self.up(x)], 1))


WAYS = {
    "skip_1": {"stage": "join", "module": "skip"},
    "up_1": {"stage": "join", "module": "up"},
}


def test_the_joint_form_divides_the_change_between_skip_and_up():
    net, x = TwoWays().double(), nets.images(1, 8)
    baseline = {"skip_1": torch.zeros(1), "up_1": torch.zeros(1)}
    flow = segtrace.integrate(net, None, x, EVERYWHERE, baseline, 2, joint=True, edges=WAYS)
    shares = {edge: (flow.maps[edge].sum() / flow.change[0]).item() for edge in flow.stages}
    assert shares == pytest.approx({"skip_1": 0.75, "up_1": 0.25})


@pytest.mark.parametrize("build", [nets.flexible_unet, nets.basic_unet])
def test_the_shares_of_every_decoder_stage_add_up_within_the_error_stated(build):
    net, x = build(), nets.images(1, 32)
    baseline = means(net, nets.images(3, 32, seed=8), edges.resolve(net))
    flow = segtrace.integrate(net, ["dec1", "dec2"], x, EVERYWHERE, baseline, 128, joint=True)
    assert flow.stages == ("skip_1", "up_1", "skip_2", "up_2")
    for first in (0, 2):
        pair = flow.stages[first : first + 2]
        total = sum(flow.maps[edge].sum() for edge in pair)
        error = ((total - flow.change[first]).abs() / flow.change[first].abs()).item()
        assert flow.completeness_error[first].item() == pytest.approx(error)
        assert error < 0.1


def test_nothing_is_left_behind():
    net, x = nets.basic_unet().train(), nets.images(1, 32)
    baseline = means(nets.basic_unet(), x, edges.resolve(net))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with torch.inference_mode():
        segtrace.integrate(net, ["dec1"], x, EVERYWHERE, baseline, 2, joint=True)
    assert all(module.training for module in net.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0; give a whole number from 1"),
        ({"baseline": {}}, "no baseline of 'enc1'"),
        ({"baseline": {"enc1": torch.zeros(7)}}, r"shape \(7,\).*\(4,\).*another network"),
        ({"score": "loglik"}, "no score 'loglik'"),
        ({"image": torch.full((1, 1, 8, 8), torch.nan)}, "logits are not finite"),
        ({"joint": True}, "places of Sequential are not in the table"),
        (
            {"joint": True, "stages": ["dec7"], "edges": {"s": {"stage": "d", "module": "1"}}},
            "dec7",
        ),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {
        "net": nets.plain(),
        "stages": {"enc1": "1"},
        "image": nets.images(1, 8),
        "target": EVERYWHERE,
        "baseline": {"enc1": torch.zeros(4)},
    }
    with pytest.raises(segtrace.InputError, match=message):
        segtrace.integrate(**{**arguments, **change})


@pytest.mark.parametrize("score", ["logit", "prob", "logprob"])
def test_behind_a_sigmoid_the_score_of_overlapping_organs_is_shared_out(score):
    net, x = nets.plain(2), nets.images(2, 16)
    organs = {"a": {"channel": 0, "label": 1}, "b": {"channel": 1, "label": 2}}
    masks = torch.zeros(2, 2, 16, 16, dtype=torch.long)
    masks[:, 0, 2:10], masks[:, 1, 6:14] = 1, 1  # both hold the rows 6 to 9
    of = {"logit": lambda t: t, "prob": torch.sigmoid, "logprob": nn.functional.logsigmoid}[score]
    place = {"enc2": "3"}
    mean = means(net, x, stages.resolve(net, place))
    target = targets.organs(organs, "gt", masks, "sigmoid")
    flow = segtrace.integrate(net, place, x, target, mean, steps=256, score=score)
    with torch.no_grad():
        there = net[:4](x)
        here = mean["enc2"].reshape(1, -1, 1, 1).expand_as(there)
        parts = [(of(net[4:](one)) * masks).sum((2, 3)).T for one in (there, here)]
    expected = parts[0] - parts[1]
    torch.testing.assert_close(flow.change[0], expected)
    torch.testing.assert_close(
        flow.maps["enc2"][0].flatten(2).sum(2), expected, rtol=1e-3, atol=1e-6
    )
