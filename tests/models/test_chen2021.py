"""TransUNet: the published size, and its parts held against loops by hand."""

import pytest
import torch
from torch import nn

from helpers.known_networks import trans_unet
from helpers.nets import images, stirred
from segtrace import InputError
from segtrace.models.chen2021 import TransUNet


def test_it_has_the_105_million_weights_that_are_published():
    with torch.device("meta"):
        net = TransUNet(3, 9)
        shapes = [tuple(f.shape[1:]) for f in seen(net, torch.empty(1, 3, 224, 224))]
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(105.3, abs=0.05)
    of_encoder = [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (768, 14, 14)]
    of_decoder = [(256, 28, 28), (128, 56, 56), (64, 112, 112), (16, 224, 224), (9, 224, 224)]
    assert shapes == [*of_encoder, *of_decoder]


def seen(net, x):
    found = []
    places = [net.root, *net.body, net.transformer, *net.decoder, net.head]
    handles = [m.register_forward_hook(lambda _m, _i, out: found.append(out)) for m in places]
    net(x)
    for handle in handles:
        handle.remove()
    return found


def test_weights_are_standardised_channel_by_channel():
    net, x = stirred(trans_unet), images(1, 32)
    convolution = net.root[0][0]
    weight = torch.empty_like(convolution.weight)
    for k, kernel in enumerate(convolution.weight):
        mean = kernel.mean()
        variance = ((kernel - mean) ** 2).mean()
        weight[k] = (kernel - mean) / (variance + 1e-5) ** 0.5
    by_hand = nn.functional.conv2d(x, weight, stride=2, padding=3)
    torch.testing.assert_close(convolution(x), by_hand)


def test_every_token_looks_at_all_others():
    """A layer by loops over heads and tokens."""
    net = stirred(trans_unet)
    layer, tokens = net.transformer.layers[0], torch.randn(1, 4, 12).double()
    normed = layer.norm1(tokens)[0]
    queries, keys, values = (layer.attention.qkv(normed)).split(12, 1)
    mixed = torch.zeros(4, 12).double()
    for head in (slice(0, 6), slice(6, 12)):
        for i in range(4):
            scores = torch.stack([queries[i, head] @ keys[j, head] for j in range(4)]) / 6**0.5
            shares = scores.exp() / scores.exp().sum()
            mixed[i, head] = sum(shares[j] * values[j, head] for j in range(4))
    attended = tokens[0] + layer.attention.out_proj(mixed)
    inner = nn.functional.gelu(layer.mlp.linear1(layer.norm2(attended)))
    by_hand = attended + layer.mlp.linear2(inner)
    torch.testing.assert_close(layer(tokens)[0], by_hand)


def test_a_token_stays_at_its_place_and_knows_it():
    net = stirred(trans_unet)
    transformer, x = net.transformer, torch.randn(1, 64, 2, 2).double()
    alone = transformer(x)
    turned = transformer(x.flip(3)).flip(3)
    assert not torch.allclose(alone, turned)  # by its position
    transformer.positions.data.zero_()
    torch.testing.assert_close(transformer(x), transformer(x.flip(3)).flip(3))


def test_every_weight_has_a_part_in_the_logits():
    """DDP waits for the gradients of all of them."""
    net, x = stirred(trans_unet), images(2, 32)
    net.train()(x).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("size", "fits"), [(100, 96), ([32, 40], 32), (5, 16)])
def test_a_size_that_is_no_multiple_of_16_is_one_line(size, fits):
    with pytest.raises(InputError, match=rf"multiple of 16, as data.size={fits},"):
        TransUNet(1, 3, size)
    sizes = {"hidden_size": 12, "mlp_dim": 16, "num_heads": 2, "num_layers": 1}
    assert TransUNet(1, 3, fits, 4, (1, 1, 1), **sizes).head.out_channels == 3
