import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from helpers.alone import group_of_one, reductions_of
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.causal.necessity import necessity
from segtrace.causal.outcome import Judge
from segtrace.network.sites import sites_of
from segtrace.network.undisturbed import unchanged_generators, unwrapped

X = nets.images(2, 16)
TARGET = targets.organs({"liver": 1, "spleen": 2}, "gt", nets.labels(2, 16))
RULES = ("seg_grad_cam", "grad_pam")


def network():
    """Everything a trace might disturb: BatchNorm, dropout, frozen parts, gradients half-way."""
    net = nets.stirred(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(4, 4, 3, padding=1),
        )
    )
    net.train()
    net[1].eval()  # a frozen BatchNorm inside a network in training
    net[0].weight.requires_grad_(False)
    net(X).square().sum().backward()  # an accumulation that has begun
    return net


PLACES = {"enc1": "2", "head": "4"}


def marks(net):
    """All that a trace could have left behind."""
    hooks = [
        len(getattr(module, name))
        for module in net.modules()
        for name in vars(module)
        if name.endswith("_hooks")
    ]
    return {
        "parameters": {k: v.detach().clone() for k, v in net.named_parameters()},
        "gradients": {k: copy.deepcopy(v.grad) for k, v in net.named_parameters()},
        "needs": {k: v.requires_grad for k, v in net.named_parameters()},
        "buffers": {k: v.clone() for k, v in net.named_buffers()},
        "training": [module.training for module in net.modules()],
        "hooks": hooks,
        "random": torch.get_rng_state(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def assert_same(before, after):
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0, msg=name)


CONTEXTS = {
    "plain": lambda: torch.enable_grad(),
    "no_grad": lambda: torch.no_grad(),
    "inference_mode": lambda: torch.inference_mode(),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_is_left_behind(context):
    net = network()
    expected = segtrace.trace(network(), PLACES, X, TARGET, RULES)
    with CONTEXTS[context]():
        before = marks(net)
        target = targets.organs({"liver": 1, "spleen": 2}, "gt", nets.labels(2, 16))
        flow = segtrace.trace(net, PLACES, X.clone(), target, RULES)
        assert_same(before, marks(net))
    assert not flow.maps["enc1"].requires_grad
    for stage in flow.stages:
        assert torch.equal(flow.maps[stage], expected.maps[stage])


class Raises(nn.Module):
    def forward(self, x):
        raise RuntimeError("out of memory, say")


@pytest.mark.parametrize("context", CONTEXTS)
def test_nothing_is_left_behind_after_an_exception(context):
    net = network()
    net.append(Raises())
    net.eval().train()
    with CONTEXTS[context]():
        before = marks(net)
        with pytest.raises(RuntimeError, match="out of memory"):
            segtrace.trace(net, PLACES, X, TARGET)
        assert_same(before, marks(net))


def test_nothing_is_left_behind_when_a_target_raises():
    net = network()
    before = marks(net)
    with pytest.raises(segtrace.InputError):
        segtrace.trace(net, PLACES, X, targets.organ(9, "all"))
    assert_same(before, marks(net))


class Counting(nn.Module):
    """A buffer that changes in evaluation mode as well."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x


def test_buffers_that_change_in_evaluation_mode_are_put_back():
    net = network().append(Counting())
    segtrace.trace(net, PLACES, X, TARGET)
    assert net[-1].calls == 0


def test_a_step_of_training_is_the_same_with_and_without_a_trace_in_the_middle():
    def trained(traced):
        torch.manual_seed(7)
        net = network()
        optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad])
        for _ in range(2):
            net(X).square().mean().backward()
            if traced:  # mid-accumulation
                segtrace.trace(net, PLACES, X, TARGET)
            net(X).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return net.state_dict(), optimizer.state_dict()["state"]

    torch.testing.assert_close(trained(True), trained(False), rtol=0, atol=0)


def test_frozen_networks_give_the_same_maps():
    net, frozen = network(), network().requires_grad_(False)
    expected = segtrace.trace(net, PLACES, X, TARGET, RULES)
    flow = segtrace.trace(frozen, PLACES, X, TARGET, RULES)
    assert torch.equal(flow.maps["enc1"], expected.maps["enc1"])
    assert not any(p.requires_grad for p in frozen.parameters())


def test_weights_made_in_inference_mode_are_refused_with_the_remedy():
    with torch.inference_mode():
        net = nn.Sequential(nn.Conv2d(1, 4, 1))
    with pytest.raises(segtrace.InputError, match=r"0\.weight was made in inference mode"):
        segtrace.trace(net, {"head": "0"}, X.float(), targets.organ(1, "all"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_is_traced_before_and_after_it_has_run():
    expected = segtrace.trace(network(), PLACES, X, TARGET, RULES)
    net = network()
    compiled = torch.compile(net, backend="aot_eager")
    for _ in range(2):
        flow = segtrace.trace(compiled, PLACES, X, TARGET, RULES)
        torch.testing.assert_close(flow.maps, expected.maps)
        compiled.eval()
        with torch.no_grad():
            compiled(X)
    net.eval()
    net.compile(backend="aot_eager")  # in place: there is no wrapper to look through
    with torch.no_grad():
        net(X)
    flow = segtrace.trace(net, PLACES, X, TARGET, RULES)
    torch.testing.assert_close(flow.maps, expected.maps)


def test_a_network_under_ddp_is_traced_without_firing_the_reducer():
    expected = segtrace.trace(network(), PLACES, X, TARGET, RULES)
    with group_of_one():
        wrapped = nn.parallel.DistributedDataParallel(network())
        sent = reductions_of(wrapped)
        before = marks(wrapped.module)
        flow = segtrace.trace(wrapped, PLACES, X, TARGET, RULES)
        assert_same(before, marks(wrapped.module))
        assert not sent
        wrapped(X).square().sum().backward()  # the reducer's own pass is undisturbed
        assert sent
    torch.testing.assert_close(flow.maps, expected.maps)


def test_every_wrapper_is_looked_through():
    net = nets.plain()
    assert unwrapped(torch.compile(nn.DataParallel(net), backend="eager")) is net


class Doubled(nn.Module):
    def forward(self, x):
        return x.mul_(2)


def test_an_output_overwritten_in_place_is_recorded_as_the_stage_put_it_out():
    def build(inplace):
        rest = Doubled() if inplace else nn.Identity()
        net = nn.Sequential(nn.Conv2d(1, 4, 3), rest, nn.ReLU(inplace), nn.Conv2d(4, 4, 1))
        if not inplace:
            net[1] = nn.Module()
            net[1].forward = lambda x: 2 * x
        return net

    there, here = nets.stirred(lambda: build(True)), nets.stirred(lambda: build(False))
    places = {"conv": "0", "head": "3"}
    target = targets.organ(1, "all")
    flow = segtrace.trace(there, places, X, target, RULES)
    expected = segtrace.trace(here, places, X, target, RULES)
    for stage in places:
        torch.testing.assert_close(flow.maps[stage], expected.maps[stage])


@pytest.mark.parametrize("net", [nets.plain, nets.basic_unet])
def test_two_hundred_calls_leave_no_hook_and_no_tensor(net):
    import gc

    net, x = net(), nets.images(1, 32)
    places = nets.PLAIN_STAGES if isinstance(net, nn.Sequential) else None
    target = targets.organs({"liver": 1, "spleen": 2}, "pred")

    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    segtrace.trace(net, places, x, target, RULES)
    alive, before = tensors(), marks(net)
    for _ in range(200 if isinstance(net, nn.Sequential) else 20):
        segtrace.trace(net, places, x, target, RULES)
    assert tensors() == alive + sum(isinstance(v, torch.Tensor) for v in _tensors(before))
    assert_same(before, marks(net))


def _tensors(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner)
    else:
        yield value


def test_a_network_or_an_image_without_values_is_refused_in_one_line():
    net, image, target = nets.plain(), nets.images(1, 16), targets.organ(1, "all")
    with pytest.raises(InputError, match=r"^image is .*; this one is on the meta device$"):
        segtrace.trace(net, nets.PLAIN_STAGES, image.to("meta"), target)
    with pytest.raises(InputError, match=r"^0.weight is on the meta device, without values"):
        segtrace.trace(nets.plain().to("meta"), nets.PLAIN_STAGES, image, target)


def test_a_network_that_writes_into_its_image_gets_the_same_one_in_every_pass():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nets.plain()

        def forward(self, x):
            return self.inner(x.sub_(0.5).mul_(3))

    net, x, truth = Centred(), nets.images(2, 16), nets.labels(2, 16, 3)
    found = necessity(net, sites_of(net, {"a": "inner.1"}, {}), x, truth, {"a": 1}, cut="zero")
    with torch.no_grad():
        expected = Judge({"a": 1}, truth).of(net.inner((x - 0.5) * 3)).score
    assert (found.data["whole_score"].values == expected.numpy()).all()
    segtrace.trace(net, {"a": "inner.1"}, x, targets.organ(1, "all"))


def draws():
    """The next number of every global generator on the CPU."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def seed_all():
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)


def untouched():
    seed_all()
    return draws()


def test_every_global_generator_goes_on_as_if_nothing_had_been_drawn():
    seed_all()
    with unchanged_generators():
        inside = draws()
        draws()
    assert draws() == inside == untouched()


def test_it_holds_after_an_exception_and_as_a_decorator():
    @unchanged_generators()
    def fails():
        draws()
        raise RuntimeError

    seed_all()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            fails()
    assert draws() == untouched()


def test_numpys_generator_may_be_of_another_kind():
    kept = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(5))
    try:
        with unchanged_generators():
            inside = np.random.rand()
        assert np.random.rand() == inside
    finally:
        np.random.set_bit_generator(kept)


class Drawing(nn.Conv2d):
    """A layer that draws from all of them, in evaluation too."""

    def forward(self, x):
        return super().forward(x) * (1 + sum(draws()))


def test_a_network_that_draws_leaves_no_mark_when_traced():
    net = nn.Sequential(Drawing(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    seed_all()
    segtrace.trace(net, {"enc1": "1", "head": "2"}, nets.images(2, 16), targets.organ(1, "all"))
    assert draws() == untouched()
