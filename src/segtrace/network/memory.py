"""How much memory a forward and a backward pass take, counted before they are run."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from segtrace.network.undisturbed import undisturbed

CGROUP = Path("/sys/fs/cgroup")


def bytes_of_pass(net: nn.Module, shape: Sequence[int], dtype: torch.dtype) -> int | None:
    """Bytes that a forward pass leaves for the backward pass, and this beside it.

    Counted on the meta device, where nothing is computed: every tensor that autograd keeps, once,
    without the weights; and thrice the largest of them, for the gradients that pass from one layer
    to the next and what a layer works with.

    Args:
        net: the network.
        shape: (N, C, *image) of what it is shown.
        dtype: of that.

    Returns:
        The bytes; ``None`` of a network that does not run without values.
    """
    named = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    if any(map(is_lazy, named.values())):
        return None
    blank = {name: torch.empty_like(own, device="meta").requires_grad_(own.requires_grad)
             for name, own in named.items()}  # fmt: skip
    weights = {own.untyped_storage()._cdata for own in blank.values()}
    kept: dict[int, Tensor] = {}  # held, so that no two have the same number

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    x = torch.empty(*shape, dtype=dtype, device="meta").requires_grad_()
    try:
        with (
            undisturbed(net, torch.device("cpu")),
            saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            functional_call(net, blank, (x,))
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None
    sizes = [own.untyped_storage().nbytes() for key, own in kept.items() if key not in weights]
    return sum(sizes) + 3 * max(sizes, default=0)


def free_bytes(device: torch.device) -> int | None:
    """What is free on a device, for a process; ``None`` where nothing says it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable")]
        most = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if most != "max":
            found.append(int(most) - int((CGROUP / "memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError, IndexError):
        pass
    if not found and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min(found, default=None)
