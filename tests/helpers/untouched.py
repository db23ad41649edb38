"""Whether something was left as it was: every tensor by identity and bit, every attribute."""

from contextlib import contextmanager

import torch
from torch import nn


def tensor(value):
    """Of one tensor: the object, its kind, where its numbers lie and what they are."""
    return {
        "object": value,
        "kind": type(value),
        "precision": value.dtype,
        "shape": tuple(value.shape),
        "place": value.data_ptr(),
        "needs": value.requires_grad,
        "numbers": value.detach().clone(),
        "gradient": value.grad if value.is_leaf else None,
        "gradient's numbers": value.grad.clone() if value.is_leaf and value.grad is not None else 0,
    }


def state(net):
    """All that a function might change of a network, and of the process around it."""
    modules = dict(net.named_modules(remove_duplicate=False))
    attributes = {
        f"{path}:{name}": dict(value) if isinstance(value, dict) else value
        for path, module in modules.items()
        for name, value in sorted(vars(module).items())
    }
    named = {"parameters": net.named_parameters, "buffers": net.named_buffers}
    return {
        "modules": modules,
        "attributes": attributes,
        "hooks": {key: value for key, value in attributes.items() if "_hooks" in key},
        "training": {path: module.training for path, module in modules.items()},
        **{
            kind: {name: tensor(value) for name, value in those(remove_duplicate=False)}
            for kind, those in named.items()
        },
        "random": torch.get_rng_state(),
        "precision": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


def assert_same(now, before, where="network"):
    """Containers part by part; numbers by bit; everything else by identity."""
    if isinstance(before, dict):
        assert list(now) == list(before), where
        for key in before:
            assert_same(now[key], before[key], f"{where}, {key}")
    elif isinstance(before, torch.Tensor) and where.endswith(("numbers", "random")):
        assert torch.equal(now.view(-1).view(torch.uint8), before.view(-1).view(torch.uint8)), where
    elif isinstance(before, nn.Module | torch.Tensor):
        assert now is before, where
    else:
        assert now is before or now == before, where


@contextmanager
def untouched(net, *others):
    """The network, and other tensors or containers of tensors, are the same after the block."""
    before, theirs = state(net), [held(other) for other in others]
    yield
    assert_same(state(net), before)
    for number, (other, was) in enumerate(zip(others, theirs, strict=True)):
        assert_same(held(other), was, f"argument {number}")


def held(value):
    """Tensors, and what containers hold, by identity and bit."""
    if isinstance(value, torch.Tensor):
        return tensor(value)
    if isinstance(value, dict):
        return {key: held(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return dict(enumerate(map(held, value)))
    return value
