"""Run a network as it is, and leave no mark on it."""

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from segtrace.errors import InputError
from segtrace.network.contents import Contents


def unwrapped(net: nn.Module) -> nn.Module:
    """The network inside ``torch.compile``'s and (Distributed)DataParallel's wrappers."""
    while True:
        inner: Any = getattr(net, "_orig_mod", None)
        if inner is None and isinstance(net, nn.parallel.DistributedDataParallel | nn.DataParallel):
            inner = net.module
        if inner is None:
            return net
        net = inner


def as_input(net: nn.Module, image: Tensor) -> Tensor:
    """A fresh leaf of the image, in the network's precision and on its device.

    Half precision is raised to float32, float64 stays where the network is float64.

    Raises:
        InputError: parameters in half precision, whose maps would be noise, made in inference mode,
            which no gradient passes, or without values, as on the meta device and in a lazy module
            before its first pass, which would make them.
    """
    dtype = torch.promote_types(image.dtype, torch.float32)
    device = image.device
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if is_lazy(tensor):
            raise InputError(
                f"{name} has no values yet, and explaining would make them; send an image through "
                "the network first: net(image)"
            )
        if tensor.is_meta:
            raise InputError(
                f"{name} is on the meta device, without values; make them: "
                "net.to_empty(device='cpu'), and load the network's weights"
            )
    for name, parameter in net.named_parameters():
        if parameter.is_inference():
            raise InputError(
                f"parameter {name} was made in inference mode, which no gradient passes; "
                "build the network outside torch.inference_mode()"
            )
        if parameter.dtype in (torch.float16, torch.bfloat16):
            raise InputError(
                f"parameter {name} is {parameter.dtype}; maps need float32: call net.float()"
            )
        dtype, device = parameter.dtype, parameter.device
    with torch.inference_mode(False):  # a copy made here may require a gradient
        return image.detach().to(device, dtype, copy=True)


@contextmanager
def undisturbed(net: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, gradients on, autocast and TF32 off, eager; everything restored afterwards.

    Restored, also after an exception: the train/eval flag of every submodule, buffers and whatever
    else the modules hold, hooks, the random state, grad mode, inference mode and autocast.
    """
    flags = [(module, module.training) for module in net.modules()]
    with ExitStack() as stack:
        stack.enter_context(unchanged_generators())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(_whole_float32(device))
        if any(_is_compiled(module) for module, _ in flags):
            # Hooks set after compilation are silently not called by compiled code.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        contents = Contents.of(net)
        kept = [(tensor, tensor.clone(), _version(tensor)) for tensor in contents.tensors]
        try:
            for module, _ in flags:
                module.training = False
            yield
        finally:
            for module, training in flags:
                module.training = training
            contents.put_back()
            with torch.no_grad():
                for tensor, value, version in kept:
                    if _version(tensor) != version or not torch.equal(tensor, value):
                        tensor.copy_(value)


@contextmanager
def _whole_float32(device: torch.device) -> Iterator[None]:
    """Inside the block a GPU rounds no product to TF32, which keeps 10 bits of 23."""
    both: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    switches = both if device.type == "cuda" else ()
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = False
        yield
    finally:
        for switch, allowed in zip(switches, before, strict=True):
            switch.allow_tf32 = allowed


def _version(tensor: Tensor) -> int | None:
    # Inference tensors count no versions, and cannot be written outside inference mode. Nor does
    # batch normalisation count what it does to its statistics.
    return None if tensor.is_inference() else tensor._version


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Inside the block anything may draw; afterwards every global generator stands where it stood.

    Those of Python, of torch on the CPU and on every CUDA device in use, and of NumPy, also after
    an exception. Usable as a decorator.
    """
    # Not imported here: what NumPy's generator would give is nobody's before somebody loads it.
    numpy = sys.modules.get("numpy.random")
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_devices()))
        stack.callback(random.setstate, random.getstate())
        if numpy is not None:
            stack.callback(numpy.set_state, numpy.get_state(legacy=False))
        yield


def _devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
