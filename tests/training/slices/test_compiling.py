"""A network that cannot be compiled is refused in a line, and one that can is left as it was."""

from functools import partialmethod

import pytest
import torch
from torch import nn

import segtrace
from segtrace import InputError
from segtrace.attribution import targets
from segtrace.training.module import SegmentationModule
from segtrace.training.slices.compiling import check_compiles
from segtrace.training.weights import fingerprint

IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


class Net(nn.Module):
    """Code of torch itself would not be traced."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.dropout, self.last = nn.Dropout(), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.last(self.dropout(self.norm(self.first(x))))


def network():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def quick(monkeypatch):
    """What the compiler traces runs as it is: nothing is written and built in C++."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))


def test_trying_leaves_no_mark(quick):
    net = network()
    before, state = fingerprint(net), torch.get_rng_state()
    check_compiles(net, IMAGES, CPU)
    assert fingerprint(net) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert net._compiled_call_impl is None
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("fails", ["the compiler", "the backward pass"])
def test_a_network_that_cannot_be_compiled_is_one_line(monkeypatch, fails):
    def backend(graph, _):
        if fails == "the compiler":
            raise RuntimeError("no C++ compiler\nanywhere")
        return lambda *inputs: [out.detach() for out in graph(*inputs)]

    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=backend))
    with pytest.raises(InputError, match=r"^model.compile=true: Net cannot be .* on cpu") as e:
        check_compiles(network(), IMAGES, CPU)
    assert str(e.value).endswith("); say model.compile=false")
    assert "\n" not in str(e.value)


def test_a_compiled_network_keeps_its_names_and_is_explained_as_it_is_written(quick):
    plain = SegmentationModule(network(), {"a": 1, "b": 2}, channels_last=False)
    compiled = SegmentationModule(network(), {"a": 1, "b": 2}, channels_last=False, compile=True)
    assert compiled.net._compiled_call_impl is not None
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for made in (plain, compiled):
        torch.manual_seed(1)
        made.train()(IMAGES).square().mean().backward()
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    maps = [
        segtrace.trace(made.net, {"enc1": "first"}, IMAGES[:1], targets.organ(1, "all")).maps[
            "enc1"
        ]
        for made in (plain, compiled)
    ]
    assert torch.equal(*maps)
