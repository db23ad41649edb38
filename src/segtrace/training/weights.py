"""Weights as values: told apart by what they are, kept, and put in place for a while."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""Name -> parameter or buffer, as in a ``state_dict``."""
CONVOLUTION = 4
"""Dimensions of a 2-D convolution's weights."""


def fingerprint(net: nn.Module) -> str:
    """SHA-256 of all parameters and buffers: equal where every bit is, on whatever device."""
    digest = hashlib.sha256()
    for name, tensor in _tensors(net).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        values = _as_it_lies(tensor.detach().cpu()).contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _as_it_lies(tensor: Tensor) -> Tensor:
    """Channels-last weights in the order of their memory: turning them round would take longer."""
    channels_last = tensor.ndim == CONVOLUTION and tensor.stride(1) == 1
    return tensor.permute(0, 2, 3, 1) if channels_last else tensor


def copied(module: nn.Module, into: Weights | None = None) -> dict[str, Tensor]:
    """The weights as they are now, on the CPU.

    Args:
        module: whose.
        into: an earlier copy, whose memory is used again.
    """
    old = into or {}
    return {name: _copied(tensor, old.get(name)) for name, tensor in _tensors(module).items()}


def _copied(tensor: Tensor, into: Tensor | None) -> Tensor:
    if into is None or (into.shape, into.dtype) != (tensor.shape, tensor.dtype):
        return tensor.detach().to("cpu", copy=True)
    with torch.no_grad():
        return into.copy_(tensor)


@contextmanager
def in_place(module: nn.Module, weights: Weights) -> Iterator[None]:
    """During the block the module has these weights; its own come back bit by bit."""
    own = {name: tensor.detach().clone() for name, tensor in _tensors(module).items()}
    _overwrite(module, weights)
    try:
        yield
    finally:
        _overwrite(module, own)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Without the extra state that some modules add, which may be anything."""
    return {name: value for name, value in module.state_dict().items() if torch.is_tensor(value)}


@torch.no_grad()
def _overwrite(module: nn.Module, weights: Weights) -> None:
    for name, tensor in _tensors(module).items():
        tensor.copy_(weights[name])
