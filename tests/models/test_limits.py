"""What a network of a file's numbers may take: weights as the file warrants, passes as there is."""

import pytest
import torch
from monai.networks.nets import BasicUNet

from helpers import known_networks as nets
from segtrace.errors import InputError
from segtrace.models import limits
from segtrace.models.limits import activations, check_pass

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


@pytest.mark.parametrize("name", nets.FLAT)
def test_what_a_pass_holds_is_counted_without_taking_it(name):
    net, images = nets.network(name)
    net.eval()
    before = {key: tensor.data_ptr() for key, tensor in net.state_dict().items()}
    found = activations(net, images.shape)
    assert before == {key: tensor.data_ptr() for key, tensor in net.state_dict().items()}
    if name in BY_VALUES:
        assert found is None
        return
    assert found == pytest.approx(held_by(net, images), rel=0.35)


def test_a_pass_that_takes_more_than_is_free_is_refused_and_both_are_named(monkeypatch):
    net = BasicUNet(2, 1, 2, (32, 32, 32, 32, 32, 32)).eval()
    check_pass(net, (1, 1, 64, 64), "a.ckpt")
    with pytest.raises(InputError) as caught:
        check_pass(net, (64, 1, 4096, 4096), "a.ckpt")
    said = str(caught.value)
    assert "a.ckpt: a pass of its 64 slices of 1 x 4096 x 4096 takes about" in said
    assert "GiB are free" in said
    monkeypatch.setattr(limits, "free_memory", lambda: None)
    check_pass(net, (64, 1, 4096, 4096), "a.ckpt")
