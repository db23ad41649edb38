"""What a pass needs, counted without it, against what autograd keeps of a real one."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from helpers import known_networks
from helpers.known_networks import NETWORKS
from helpers.nets import stirred
from segtrace import InputError
from segtrace.attribution.sliding import outlook
from segtrace.attribution.sliding.windows import Windows
from segtrace.memory import bytes_of_pass, free_bytes, kept_by_pass

BY_VALUES = ["TransUNet", "Segformer of transformers 5"]
"""They ask for values as they go, or cannot be copied, as a network outside our table may."""


def held_by(net, images):
    """Bytes that a pass of real numbers holds for its gradient."""
    held, weights = {}, {tensor.untyped_storage().data_ptr() for tensor in net.parameters()}

    def hold(tensor):
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in weights:
            held[memory.data_ptr()] = memory
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        graph = net(images.clone().requires_grad_())
    del graph
    return sum(memory.nbytes() for memory in held.values())


@pytest.mark.parametrize("name", known_networks.FLAT)
def test_what_a_pass_holds_is_counted_without_taking_it(name):
    net, images = known_networks.network(name)
    net.eval()
    before = {key: tensor.data_ptr() for key, tensor in net.state_dict().items()}
    found = kept_by_pass(net, images.shape)
    assert before == {key: tensor.data_ptr() for key, tensor in net.state_dict().items()}
    if name in BY_VALUES:
        assert found is None
        return
    assert sum(found) == pytest.approx(held_by(net, images), rel=0.35)


@pytest.mark.parametrize("name", ["BasicUNet 3-D", "DynUNet 3-D", "nnU-Net 3-D", "UNETR 3-D"])
def test_the_count_is_what_autograd_keeps_of_a_real_pass(name):
    known = NETWORKS[name]
    net = stirred(known.build).float().eval()
    x = known.images().float().requires_grad_()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    counted = sum(kept_by_pass(net, x.shape, x.dtype))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        net(x)
    weights = {value.untyped_storage().data_ptr() for value in net.state_dict().values()}
    real = [t.untyped_storage().nbytes() for key, t in kept.items() if key not in weights]
    assert sum(real) <= counted <= 1.1 * sum(real)  # a copy of the input is kept


@pytest.mark.parametrize(
    ("conv", "side", "unfolded"),
    [
        (torch.nn.Conv3d(16, 8, 3, padding=1), 32, 16 * 27 * 32**3),  # 16 x 32 x 32: torch's own
        (torch.nn.Conv3d(16, 8, 3, stride=2, padding=1), 32, 16 * 27 * 16**3),
        (torch.nn.ConvTranspose3d(16, 8, 2, stride=2), 16, 8 * 8 * 16**3),
        (torch.nn.Conv3d(16, 8, 1), 32, 0),
        (torch.nn.Conv3d(16, 8, 3, padding=1), 64, 0),  # oneDNN's
    ],
)
def test_an_image_that_a_convolution_unfolds_is_counted(conv, side, unfolded):
    shape = (1, 16, side, side, side)
    kept = kept_by_pass(conv, shape)
    counted = bytes_of_pass(conv, shape)
    assert counted == sum(kept) + 3 * max(*kept, 4 * unfolded)
    elsewhere = bytes_of_pass(conv, shape, None, torch.device("cuda"))
    assert elsewhere == sum(kept) + 3 * max(kept)


def test_a_network_that_needs_values_is_not_counted():
    class Looks(torch.nn.Module):
        def forward(self, x):
            return x if float(x.detach().sum()) > 0 else -x

    assert bytes_of_pass(Looks(), (1, 1, 4, 4), torch.float32) is None


def test_what_is_not_free_is_refused_before_a_pass(monkeypatch, capsys):
    assert free_bytes(torch.device("cpu")) > 2**20
    windows = Windows((64, 64, 64), ((0, 0, 0), (0, 0, 32)), torch.ones(64, 64, 32))
    net, x = torch.nn.Conv3d(1, 8, 3, padding=1), torch.zeros(1, 1, 64, 64, 64)
    outlook.announce_pass(net, windows, x)
    assert "2 windows of 64 x 64 x 32: about " in capsys.readouterr().out
    monkeypatch.setattr(outlook, "free_bytes", lambda device: 2**10)
    with pytest.raises(InputError, match=r"take a smaller one, e\.g\. 32 x 32 x 16"):
        outlook.announce_pass(net, windows, x)
    with pytest.raises(InputError, match="name fewer stages, organs or rules"):
        outlook.announce_maps(windows, {"enc": (64, 64, 32)}, 2, torch.float32)
