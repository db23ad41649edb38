"""What modules hold is put back: by identity, whatever a pass did to it, and wherever it stood."""

import pytest
import torch
from torch import nn

import segtrace
from helpers import nets
from helpers.untouched import untouched
from segtrace.attribution import targets
from segtrace.attribution.float64 import double, in_float64
from segtrace.causal.necessity import necessity
from segtrace.network.contents import LARGE, MANY, Contents
from segtrace.network.sites import sites_of

X = nets.images(1, 8).float()


class Holding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.again = self.conv
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("kept", torch.zeros(2), persistent=False)
        self.plain, self.several = torch.zeros(2), [torch.ones(2), {"inner": torch.ones(2)}]
        self.names, self.seen, self.number = {"first": 1}, {1, 2}, 0
        self.hidden = [nn.BatchNorm2d(2)]

    def forward(self, x):
        return self.conv(x)


def bind(net):
    net.count = net.count + 1
    net.number += 1
    net.plain = net.plain + 1
    net.made = torch.ones(3)
    net.grown = nn.Linear(1, 1)


CHANGES = {
    "bound anew": bind,
    "written into": lambda net: [t.add_(1) for t in (net.count, net.kept, net.plain)],
    "written into, inside": lambda net: [net.several[0].zero_(), net.several[1]["inner"].zero_()],
    "containers": lambda net: (
        net.names.clear(), net.seen.add(3), net.several.append(1), net.several[1].update(new=2)
    ),
    "modules": lambda net: (net._modules.pop("again", 0), net.add_module("new", nn.ReLU())),
    "taken away": lambda net: (vars(net).pop("plain", 0), net._buffers.pop("kept", 0)),
    "hooks": lambda net: net.conv.register_forward_hook(lambda *_: None),
    "what is hidden": lambda net: net.hidden[0](torch.rand(2, 2, 4, 4)),
}  # fmt: skip


class Changing(Holding):
    """Changes itself in the middle of a pass."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        found = self.conv(x)
        with torch.no_grad():
            self.change(self)
        return found


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_pass_changes_is_as_before_in_every_function(name):
    net = Changing(CHANGES[name])
    nn.init.constant_(net.conv.bias, -1.0)  # logits by chance between 0 and 1 are taken for shares
    hidden, inner = net.hidden[0], net.several[1]
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[:, :4] = 1
    with untouched(net, list(net.several), dict(inner)), untouched(hidden):
        segtrace.trace(net, {"enc": "conv"}, X, targets.organ(1, "all"))
        segtrace.describe(net, X, {"enc": "conv"})
        necessity(net, sites_of(net, {"enc": "conv"}, {}), X, truth, {"a": 1}, cut="zero")
    assert list(inner) == ["inner"]
    assert torch.equal(inner["inner"], torch.ones(2))


def test_every_thing_is_met_once_also_what_holds_itself():
    net = Holding()
    net.names["itself"], net.another = net.names, net.several
    contents = Contents.of(net)
    assert sorted(type(m).__name__ for m in contents.modules) == [
        "BatchNorm2d",
        "Conv2d",
        "Holding",
    ]
    assert len({id(tensor) for tensor in contents.tensors}) == len(contents.tensors)
    del net.names["itself"], net.another[0]
    contents.put_back()
    assert net.names["itself"] is net.names
    assert net.another is net.several
    assert len(net.another) == 2


def test_what_is_large_is_put_back_by_reference_and_its_numbers_are_not_kept_twice():
    net = Holding()
    net.register_buffer("bank", torch.zeros(LARGE + 1))
    net.several[0], net.data = torch.zeros(LARGE + 1), [torch.zeros(1)] * (MANY + 1)
    kept = Contents.of(net).tensors
    assert any(tensor is net.bank for tensor in kept)
    assert not any(tensor is net.several[0] or tensor is net.data[0] for tensor in kept)
    contents, large, data = Contents.of(net), net.several[0], list(net.data)
    net.several[0], net.data[5] = 1, 2
    contents.put_back()
    assert net.several[0] is large
    assert all(one is other for one, other in zip(net.data, data, strict=True))


def test_float64_ends_with_the_block_and_keeps_what_was_shared():
    net = Holding()
    net.tied = nn.Conv2d(1, 2, 1)
    net.tied.weight, net.view = net.conv.weight, [net.conv.weight]
    with untouched(net):
        with in_float64(net, X):
            assert {p.dtype for p in net.parameters()} == {torch.float64}
            assert net.tied.weight is net.conv.weight is net.again.weight is net.view[0]
            assert net.several[1]["inner"].dtype == torch.float64
            assert net(X.double()).dtype == torch.float64
            assert torch.zeros(1).dtype == torch.float64
        with pytest.raises(RuntimeError, match="to have 1 channels"), in_float64(net, X):
            net(torch.ones(1, 3, 8, 8))
    assert torch.get_default_dtype() == torch.float32


def test_what_the_network_writes_in_float64_it_writes_into_copies():
    net = Holding().double()
    net.steps = torch.zeros((), dtype=torch.long)
    with untouched(net):
        versions = {name: buffer._version for name, buffer in net.named_buffers()}
        with in_float64(net, X.double()):
            for tensor in (net.count, net.kept, net.steps, net.several[0]):
                tensor.add_(1)
    assert {name: buffer._version for name, buffer in net.named_buffers()} == versions


def test_float64_of_tensors():
    assert double(torch.ones(1)).dtype == torch.float64
    assert double(torch.ones(1, dtype=torch.complex64)).dtype == torch.complex128
    assert double(torch.ones(1, dtype=torch.int32)).dtype == torch.int32
    assert not double(torch.ones(1, requires_grad=True)).requires_grad
