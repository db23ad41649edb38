import sys

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import nn

import segtrace
from helpers import nets, slow
from segtrace import InputError
from segtrace.attribution import rules, targets
from segtrace.attribution.flow import Status
from segtrace.network import stages as stages_of

ORGANS = {"liver": 1, "spleen": 2, "stomach": 3}
BOTH = ("seg_grad_cam", "grad_pam")
NETWORKS = {"FlexibleUNet": nets.flexible_unet, "BasicUNet": nets.basic_unet}


def of_organs(truth, region="gt"):
    return targets.organs(ORGANS, region, truth)


def weights_at(channel, mask, channels=4):
    weights = torch.zeros(len(mask), channels, *mask.shape[1:], dtype=torch.float64)
    weights[:, channel] = mask.double()
    return weights


def near(actual, expected, tolerance=1e-10):
    """Equal up to a share of the expected map's largest value."""
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture(params=NETWORKS)
def net(request):
    return NETWORKS[request.param]()


# Promise 3a: right against the equation, captum and hand


def test_maps_equal_the_equations_written_as_loops():
    net, x, truth = nets.plain(4), nets.images(2, 8), nets.labels(2, 8)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH)
    for s, (stage, path) in enumerate(nets.PLAIN_STAGES.items()):
        for o, channel in enumerate(ORGANS.values()):
            weights = weights_at(channel, truth == channel)
            for n in range(len(x)):
                if not weights[n].any():
                    continue
                one = slice(n, n + 1)
                activation, gradient = slow.activation_and_gradient(
                    net, net.get_submodule(path), x[one], weights[one]
                )
                near(flow.maps[stage][0, o, n], slow.seg_grad_cam(activation[0], gradient[0]))
                near(flow.maps[stage][1, o, n], slow.grad_pam(activation[0], gradient[0]))
                assert flow.kappa[s, o, n] == pytest.approx(slow.kappa(gradient[0]))


@pytest.mark.parametrize("score", ["centered", "logprob", "prob"])
def test_other_scores_equal_the_equations_too(score):
    phi = {
        "centered": lambda y: y - y.mean(1, keepdim=True),
        "logprob": lambda y: y - y.exp().sum(1, keepdim=True).log(),
        "prob": lambda y: y.exp() / y.exp().sum(1, keepdim=True),
    }[score]
    net, x, truth = nets.plain(4), nets.images(1, 6), nets.labels(1, 6)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH, score)
    weights = weights_at(1, truth == 1)
    activation, gradient = slow.activation_and_gradient(net, net[3], x, weights, phi)
    near(flow.maps["enc2"][0, 0, 0], slow.seg_grad_cam(activation[0], gradient[0]))
    near(flow.maps["enc2"][1, 0, 0], slow.grad_pam(activation[0], gradient[0]))


def test_maps_equal_captum_at_every_stage(net):
    x, truth = nets.images(), nets.labels()
    flow = segtrace.trace(net, None, x, of_organs(truth), BOTH)
    organ, weights = 1, weights_at(2, truth == 2)

    def score(image):
        return (net(image) * weights).flatten(1).sum(1)

    x = x.clone().requires_grad_()
    for stage in stages_of.resolve(net):
        module = net.get_submodule(stage.module)
        theirs = LayerGradCam(score, module).attribute(x)[:, 0]
        near(flow.maps[stage.name][0, organ], theirs)
        theirs = LayerGradientXActivation(score, module).attribute(x).sum(1)
        near(flow.maps[stage.name][1, organ], theirs)


def strip():
    """The two-layer linear network on a strip of methods.md 6.1 (T1)."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, (1, 3), padding=(0, 1))).double()
    net[0].weight.data = torch.tensor([1.0, -1]).reshape(2, 1, 1, 1).double()
    net[0].bias.data = torch.tensor([0.0, 5]).double()
    kernel = [[[1.0, 2, 1], [0, 1, -1]], [[0, -1, 0], [1, 0, 1]]]
    net[1].weight.data = torch.tensor(kernel).reshape(2, 2, 1, 3).double()
    net[1].bias.data = torch.tensor([0.5, -0.5]).double()
    return net, torch.tensor([1.0, 2, 3, 4]).double().reshape(1, 1, 1, 4)


@pytest.mark.parametrize(
    ("channel", "pixels", "score", "seg_grad_cam", "grad_pam"),
    [
        (0, [1], 9.5, [1, 2, 3, 4], [1, 7, 1, 0]),
        (0, [3], 12.5, [1.75, 2.25, 2.75, 3.25], [0, 0, 3, 9]),
        (0, [1, 3], 22, [2.75, 4.25, 5.75, 7.25], [1, 7, 4, 9]),
        (0, [0, 1, 2, 3], 41, [4.5, 7.75, 11, 14.25], [7, 8, 12, 12]),
        (1, [0], 1.5, [0.75, 0.25, -0.25, -0.75], [-1, 3, 0, 0]),
        (1, [0, 1, 2, 3], 3, [5, 2.5, 0, -2.5], [3, 4, 1, -3]),
    ],
)
def test_maps_equal_the_numbers_by_hand_on_a_strip(channel, pixels, score, seg_grad_cam, grad_pam):
    net, x = strip()
    weights = torch.zeros(1, 2, 1, 4).double()
    weights[0, channel, 0, pixels] = 1
    flow = segtrace.trace(net, {"enc1": "0"}, x, weights, BOTH)
    assert flow.scores.item() == pytest.approx(score)
    assert flow.maps["enc1"][0].flatten().tolist() == pytest.approx(seg_grad_cam)
    assert flow.maps["enc1"][1].flatten().tolist() == pytest.approx(grad_pam)


@pytest.mark.parametrize(
    ("channel", "corner", "score", "seg_grad_cam", "grad_pam"),
    [
        (1, (slice(0, 2), slice(0, 2)), 29, [[7, 4], [1, -2]], [[28, 0], [0, 0]]),
        (1, (slice(2, 4), slice(2, 4)), -7, [[7, 4], [1, -2]], [[0, 0], [0, -8]]),
        (1, (slice(0, 4), slice(0, 4)), 44, [[28, 16], [4, -8]], [[28, 16], [4, -8]]),
        (0, (slice(0, 2), slice(0, 2)), -12, [[-3, -1], [1, 3]], [[-12, 0], [0, 0]]),
        (0, (slice(2, 4), slice(2, 4)), 12, [[-3, -1], [1, 3]], [[0, 0], [0, 12]]),
        (0, (slice(0, 4), slice(0, 4)), 0, [[-12, -4], [4, 12]], [[-12, -4], [4, 12]]),
    ],
)
def test_seg_grad_cam_is_blind_to_the_region_where_the_rest_is_linear(
    channel, corner, score, seg_grad_cam, grad_pam
):
    net = nn.Sequential(nn.Identity(), nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 1)).double()
    net[2].weight.data = torch.tensor([[1.0, -1], [-1, 2]]).reshape(2, 2, 1, 1).double()
    net[2].bias.data = torch.tensor([0, 0.25]).double()
    x = torch.tensor([[[1.0, 2], [3, 4]], [[4, 3], [2, 1]]]).double()[None]
    weights = torch.zeros(1, 2, 4, 4).double()
    weights[0, channel, corner[0], corner[1]] = 1
    flow = segtrace.trace(net, {"enc1": "0"}, x, weights, BOTH)
    assert flow.scores.item() == pytest.approx(score)
    assert flow.maps["enc1"][0, 0, 0].tolist() == seg_grad_cam
    assert flow.maps["enc1"][1, 0, 0].tolist() == grad_pam


# Promise 3b: autograd is the derivative


def test_autograd_equals_central_differences_at_every_stage(net):
    x, truth = nets.images(1), nets.labels(1)
    weights = weights_at(1, truth == 1)
    found = []

    def keep(activation, gradient):
        found.append((activation, gradient))
        return (activation * gradient).sum(1)

    for stage in stages_of.resolve(net):
        segtrace.trace(net, [stage.name], x, weights, [keep])
        activation, gradient = found.pop()
        direction = slow.direction(activation)
        module = net.get_submodule(stage.module)
        quotient = slow.difference_quotient(net, module, x, weights, direction)
        assert (gradient * direction).sum().item() == pytest.approx(quotient, rel=1e-5), stage.name
        assert quotient != 0


# Promise 1: one forward, one backward an organ, each map under its own name


def test_stages_asked_for_in_reverse_come_back_under_their_names(net):
    x, target = nets.images(), of_organs(nets.labels())
    names = [stage.name for stage in stages_of.resolve(net)]
    forth = segtrace.trace(net, names, x, target, BOTH)
    back = segtrace.trace(net, names[::-1], x, target, BOTH)
    assert back.stages == tuple(names[::-1])
    for name in names:
        assert torch.equal(forth.maps[name], back.maps[name])
    assert torch.equal(forth.kappa.nan_to_num(), back.kappa.flip(0).nan_to_num())
    assert torch.equal(forth.status, back.status.flip(0))


def test_one_forward_and_one_backward_pass_an_organ_that_is_present():
    net, x, truth = nets.plain(4), nets.images(2, 16), nets.labels(2, 16)
    truth[truth == 3] = 0  # the third organ is nowhere
    passes = {"forward": 0, "backward": 0}

    def forward_ran(*_):
        passes["forward"] += 1

    def backward_ran(gradient):
        passes["backward"] += 1
        return gradient

    handle = net[1].register_forward_hook(
        lambda _m, _i, out: (forward_ran(), out.register_hook(backward_ran))[0]
    )
    segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH)
    handle.remove()
    assert passes == {"forward": 1, "backward": 2}


def test_the_backward_pass_stops_at_the_shallowest_stage():
    net, x, truth = nets.plain(4), nets.images(1, 16), nets.labels(1, 16)
    reached = []
    handle = net[0].register_forward_hook(
        lambda _m, _i, out: (out.register_hook(lambda g: reached.append(g)), None)[1]
    )
    segtrace.trace(net, {"enc2": "3"}, x, of_organs(truth))
    handle.remove()
    assert reached == []


def test_a_slice_has_the_same_maps_alone_and_in_a_batch(net):
    x, truth = nets.images(3), nets.labels(3)
    together = segtrace.trace(net, None, x, of_organs(truth), BOTH)
    for n in range(3):
        alone = segtrace.trace(net, None, x[n : n + 1], of_organs(truth[n : n + 1]), BOTH)
        for stage in together.stages:
            for o in range(3):
                if region := int(together.region_px[o, n]):
                    assert alone.region_px[o, 0] == region
                    near(alone.maps[stage][:, o, 0], together.maps[stage][:, o, n])


def test_two_calls_are_bit_identical(net):
    x, target = nets.images().float(), of_organs(nets.labels())
    first, second = (segtrace.trace(net.float(), None, x, target, BOTH) for _ in range(2))
    for stage in first.stages:
        assert torch.equal(first.maps[stage], second.maps[stage])


def test_scores_regions_and_prediction_are_those_of_the_network():
    net, x, truth = nets.plain(4), nets.images(2, 8), nets.labels(2, 8)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth))
    logits = net(x).detach()
    assert torch.equal(flow.prediction, logits.argmax(1))
    for o, channel in enumerate(ORGANS.values()):
        for n in range(2):
            region = truth[n] == channel
            assert flow.region_px[o, n] == region.sum()
            assert flow.scores[o, n] == pytest.approx(logits[n, channel][region].sum().item())


# Promise 5: statuses, and which of several is told


def status(flow, stage=0, rule=0, organ=0, n=0):
    return Status(int(flow.status[stage, rule, organ, n]))


def test_an_empty_region_is_absent_zero_and_nan():
    net, x, truth = nets.plain(4), nets.images(2, 8), nets.labels(2, 8)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH)
    present = flow.region_px > 0
    assert present[2].tolist() == [True, False]  # absent from one slice only
    assert (flow.status[:, :, 2, 1] == Status.ABSENT).all()
    assert (flow.status[:, :, 2, 0] != Status.ABSENT).all()
    assert flow.kappa[:, 2, 1].isnan().all()
    assert not any(maps[:, 2, 1].any() for maps in flow.maps.values())


def test_a_map_without_a_positive_cell_is_dead():
    net, x = strip()
    weights = torch.zeros(1, 2, 1, 4).double()
    weights[0, 0] = -1  # the negative of a positive map
    flow = segtrace.trace(net, {"enc1": "0"}, x, weights, BOTH)
    assert [status(flow, rule=r) for r in (0, 1)] == [Status.DEAD, Status.DEAD]


def normalised(norm):
    return nets.stirred(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"),
            norm(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 1),
        )
    )


@pytest.mark.parametrize(
    ("norm", "kappa", "expected"),
    [
        (lambda k: nn.InstanceNorm2d(k, affine=True), (0, 1e-6), Status.GAP_DEGENERATE),
        (lambda k: nn.GroupNorm(k, k), (0, 1e-6), Status.GAP_DEGENERATE),
        (nn.BatchNorm2d, (0.1, 1), Status.OK),
    ],
)
def test_averaging_rules_are_degenerate_in_front_of_instance_normalisation(norm, kappa, expected):
    net, x, truth = normalised(norm), nets.images(1, 16), nets.labels(1, 16)
    flow = segtrace.trace(net, {"enc1": "0", "head": "3"}, x, of_organs(truth), BOTH)
    assert kappa[0] <= flow.kappa[0, 0, 0] <= kappa[1]
    assert status(flow, stage=0, rule=0) == expected
    assert status(flow, stage=0, rule=1) == Status.OK  # grad_pam does not average
    assert status(flow, stage=1, rule=0) in (Status.OK, Status.DEAD)


def test_instance_normalisation_makes_every_inner_stage_of_basic_unet_degenerate():
    net, x = nets.basic_unet(norm="instance"), nets.images(1)
    flow = segtrace.trace(net, None, x, of_organs(nets.labels(1)), BOTH)
    inner = flow.stages.index("dec3") + 1  # the last block before the head is not normalised again
    assert (flow.status[:inner, 0, 0] == Status.GAP_DEGENERATE).all()
    assert (flow.kappa[:inner, 0] < 0.25).all()
    assert (flow.status[inner:, 0, 0] != Status.GAP_DEGENERATE).all()
    assert (flow.status[:, 1] != Status.GAP_DEGENERATE).all()


class Branch(nn.Module):
    """A stage that shapes the prediction's side output alone."""

    def __init__(self):
        super().__init__()
        self.trunk, self.side, self.head = (
            nn.Conv2d(1, 2, 1),
            nn.Conv2d(2, 2, 1),
            nn.Conv2d(2, 2, 1),
        )

    def forward(self, x):
        trunk = self.trunk(x)
        self.side(trunk)
        return self.head(trunk)


def test_a_stage_that_the_score_does_not_depend_on_is_disconnected():
    x = nets.images(1, 4)
    everywhere = {"liver": targets.organ(1, "all")}
    flow = segtrace.trace(Branch().double(), {"a": "trunk", "b": "side"}, x, everywhere, BOTH)
    assert status(flow, stage=0) != Status.DISCONNECTED
    assert [status(flow, stage=1, rule=r) for r in (0, 1)] == [Status.DISCONNECTED] * 2
    with pytest.raises(segtrace.InputError, match=r"depends on none of the sites b"):
        segtrace.trace(Branch().double(), {"b": "side"}, x, everywhere)


def test_a_stage_with_a_known_cut_says_so_where_there_is_something_to_say():
    net, x, truth = nets.plain(4), nets.images(2, 8), nets.labels(2, 8)
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH, gradient_cut=["enc1"])
    assert (flow.status[0, :, 0] == Status.GRADIENT_CUT).all()
    assert (flow.status[1:, :, 0] != Status.GRADIENT_CUT).all()
    assert (flow.status[0, :, 2, 1] == Status.ABSENT).all()  # absent is worse


def test_nan_is_told_before_all_else_and_does_not_spread_to_other_slices():
    net, x, truth = nets.plain(4), nets.images(2, 8), nets.labels(2, 8)
    x[1, 0, 3, 3] = torch.nan
    flow = segtrace.trace(net, nets.PLAIN_STAGES, x, of_organs(truth), BOTH)
    assert (flow.status[:, :, 0, 1] == Status.NONFINITE).all()
    assert (flow.status[:, :, :, 0] != Status.NONFINITE).all()


def test_statuses_rank_as_documented():
    ranked = "nonfinite absent disconnected gradient_cut gap_degenerate incomplete dead ok"
    assert [s.label for s in sorted(Status, reverse=True)] == ranked.split()


# Promise 4: never below float32


def test_half_images_are_raised_and_float64_stays():
    x, target = nets.images(1, 8), of_organs(nets.labels(1, 8))
    net = nets.plain(4).float()
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        flow = segtrace.trace(net, nets.PLAIN_STAGES, x.to(dtype), target)
        assert flow.maps["enc1"].dtype == torch.float32
    flow = segtrace.trace(net.double(), nets.PLAIN_STAGES, x, target)
    assert flow.maps["enc1"].dtype == flow.scores.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters_are_refused_by_name(dtype):
    net, x = nets.plain(4).float(), nets.images(1, 8).float()
    net[2].to(dtype)
    with pytest.raises(segtrace.InputError, match=r"parameter 2\.weight is torch\.b?float16"):
        segtrace.trace(net, nets.PLAIN_STAGES, x, targets.organ(1, "all"))


# Promise 6: mistakes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": ["seg_gradcam"]}, "no rule 'seg_gradcam'.*did you mean seg_grad_cam"),
        ({"rules": []}, "at least one"),
        ({"score": "logits"}, "no score 'logits'.*did you mean logit"),
        ({"target": {}}, "no organ is named"),
        ({"target": torch.ones(1, 4, 3, 3)}, r"shape \(1, 4, 3, 3\).*have \(1, 4, 8, 8\)"),
        ({"target": targets.organ(9, "all")}, "no channel 9.*0 … 3"),
        ({"stages": {"enc1": "8"}}, "stage 'enc1'.*no module '8'"),
        ({"stages": {}}, "no stage is named"),
        ({"stages": None}, "places of Sequential are not in the table"),
        ({"output": lambda logits: (logits,)}, "output=… returns a tuple; say output="),
        ({"output": lambda logits: logits[:, 0]}, r"logits have shape \(1, 8, 8\)"),
    ],
)
def test_a_mistake_names_the_value_and_what_was_allowed(change, message):
    arguments = {
        "net": nets.plain(4),
        "stages": nets.PLAIN_STAGES,
        "image": nets.images(1, 8),
        "target": targets.organ(1, "all"),
    }
    with pytest.raises(segtrace.InputError, match=message):
        segtrace.trace(**{**arguments, **change})


def test_an_unknown_stage_names_all_stages_and_the_nearest():
    with pytest.raises(segtrace.InputError, match=r"enc6.*enc1.*head; did you mean enc5"):
        segtrace.trace(nets.basic_unet(), ["enc6"], nets.images(1), targets.organ(1, "all"))


def test_the_logits_of_a_network_that_returns_more_are_picked_by_output():
    class Chatty(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nets.plain(4)

        def forward(self, x):
            return {"logits": self.body(x), "loss": None}

    x, target = nets.images(1, 8), of_organs(nets.labels(1, 8))
    places = {name: f"body.{path}" for name, path in nets.PLAIN_STAGES.items()}
    flow = segtrace.trace(Chatty(), places, x, target, output=lambda out: out["logits"])
    plain = segtrace.trace(nets.plain(4), nets.PLAIN_STAGES, x, target)
    assert torch.equal(flow.maps["enc2"], plain.maps["enc2"])


# Passes: another organ in every slice, and slices in parts


def test_slices_share_passes_and_maps_equal_those_of_one_organ_a_call(net):
    x, truth = nets.images(3, 32), nets.labels(3, 32)
    truth[0][truth[0] == 1] = 0
    truth[2][truth[2] == 2] = 0  # every slice lacks another organ
    together = segtrace.trace(net, None, x, of_organs(truth), BOTH, batch=3)
    for o, (name, channel) in enumerate(ORGANS.items()):
        one = segtrace.trace(net, None, x, {name: targets.organ(channel, "gt", truth)}, BOTH)
        for stage in together.stages:
            near(together.maps[stage][:, o], one.maps[stage][:, 0])
        torch.testing.assert_close(together.kappa[:, o], one.kappa[:, 0], equal_nan=True)
        assert torch.equal(together.status[:, :, o], one.status[:, :, 0])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_number_of_slices_per_pass_changes_nothing(batch):
    net, x, target = nets.basic_unet(), nets.images(3, 32), of_organs(nets.labels(3, 32))
    expected = segtrace.trace(net, None, x, target, BOTH)
    found = segtrace.trace(net, None, x, target, BOTH, batch=batch)
    for stage in expected.stages:
        near(found.maps[stage], expected.maps[stage])
    assert torch.equal(found.status, expected.status)


@pytest.mark.parametrize("batch", [0, 1.5])
def test_a_batch_that_is_no_number_of_slices_is_refused(batch):
    with pytest.raises(segtrace.InputError, match="batch is"):
        segtrace.trace(
            nets.plain(), nets.PLAIN_STAGES, nets.images(1, 8), targets.organ(1, "all"), batch=batch
        )


@pytest.mark.parametrize("kind", ["mean over slices", "statistics of the batch"])
def test_slices_that_influence_each_other_are_explained_one_organ_at_a_time(kind):
    if kind == "mean over slices":
        net, path = nets.stirred(nets.Mixing), "first"
    else:
        norm = lambda: nn.BatchNorm2d(3, track_running_stats=False)  # noqa: E731
        net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), norm(), nn.Conv2d(3, 4, 3)).double()
        path = "0"
    x, truth = nets.images(2, 8), nets.labels(2, 8)
    size = net(x).shape[-1]
    truth = truth[:, :size, :size].clone()
    truth[1][truth[1] == 2] = 0
    flow = segtrace.trace(net, {"a": path}, x, of_organs(truth), BOTH, batch=2)
    weights = weights_at(1, truth == 1)
    x, kept = x.requires_grad_(), []
    handle = net.get_submodule(path).register_forward_hook(lambda _m, _i, out: kept.append(out))
    score = (net(x) * weights).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    near(flow.maps["a"][1, 0], (gradient * kept[0]).sum(1).detach())


def test_volumes_are_traced_like_slices():
    net = nets.stirred(lambda: nets.BasicUNet(3, 1, 4, features=(2, 2, 4, 4, 4, 2), norm="batch"))
    x = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    flow = segtrace.trace(net, None, x, {"liver": targets.organ(1, "all")}, BOTH)
    weights = torch.zeros(1, 4, 16, 16, 16).double()
    weights[:, 1] = 1
    theirs = LayerGradCam(lambda image: (net(image) * weights).flatten(1).sum(1), net.down_1)
    near(flow.maps["enc2"][0, 0], theirs.attribute(x.requires_grad_())[:, 0])
    assert flow.maps["enc2"].shape == (2, 1, 1, 8, 8, 8)


def test_a_rule_that_writes_into_the_gradient_is_refused():
    """Deeper sites are told what is left of it."""

    def rectified(gradient, _stride):
        return gradient.relu_()

    net, x = nets.plain(), nets.images(1, 16)
    rule = rules.Rule("mine", rectified)
    with pytest.raises(
        InputError, match=r"rule 'mine' writes into the gradient.*gradient.relu\(\)"
    ):
        segtrace.trace(net, nets.PLAIN_STAGES, x, targets.organ(1, "all"), [rule])


def test_the_function_that_states_equation_3_is_what_a_trace_runs():
    net, places = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)), {"enc1": "1"}
    called = []

    def watch(frame, event, _argument):
        if event == "call" and frame.f_code is rules.global_average.__code__:
            called.append(frame.f_locals["gradient"].shape)

    sys.setprofile(watch)
    try:
        segtrace.trace(net, places, torch.rand(2, 1, 6, 6), torch.ones(2, 2, 4, 4))
    finally:
        sys.setprofile(None)
    assert called == [(2, 3, 4, 4)]


def test_a_cut_gradient_of_no_stage_is_refused_by_name():
    x, net = nets.images(1, 16), nets.plain()
    target = targets.organ(1, "all")
    with pytest.raises(InputError, match=r"^no stage 'enc'; gradient_cut: .* did you mean enc2"):
        segtrace.trace(net, nets.PLAIN_STAGES, x, target, gradient_cut=["head", "enc"])
    segtrace.trace(net, nets.PLAIN_STAGES, x, target, gradient_cut=("enc1", "head"))
    known = nets.flexible_unet()  # what describe says of all stages serves a trace of some
    flow = segtrace.trace(known, ["head"], nets.images(1), target, gradient_cut=("enc2", "enc3"))
    assert Status.GRADIENT_CUT not in flow.status.flatten().tolist()
