"""How much memory a forward and a backward pass take, counted before they are run; what is free."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from segtrace.processes import free_memory


def kept_by_pass(
    net: nn.Module, shape: Sequence[int], dtype: torch.dtype | None = None
) -> list[int] | None:
    """Bytes of each tensor that a forward pass keeps until its gradient is taken.

    Counted on the meta device, where nothing is computed and no memory is taken; without weights.

    Args:
        net: the network; left as it is.
        shape: (N, C, *image) of what it is shown.
        dtype: of that; None for the weights' own.

    Returns:
        ``None`` for a network that asks for values, and not for shapes alone.
    """
    held: dict[int, int] = {}
    weights: set[int] = set()

    def hold(tensor: Tensor) -> Tensor:
        if _memory(tensor) not in weights:
            held[_memory(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    kind = dtype or next((p.dtype for p in net.parameters() if p.is_floating_point()), None)
    image = torch.empty(tuple(shape), dtype=kind, device="meta", requires_grad=True)
    try:
        # In the copy each tensor is a shape alone, also what is reached by two paths.
        shapes: dict[int, Tensor] = {id(one): one.to("meta") for one in net.buffers()}
        for one in net.parameters():
            shapes[id(one)] = nn.Parameter(one.to("meta"), one.requires_grad)
        weights |= {_memory(tensor) for tensor in shapes.values()}
        with torch.enable_grad(), saved_tensors_hooks(hold, lambda tensor: tensor):
            graph = copy.deepcopy(net, dict(shapes))(image)
    except Exception:  # a class of the user's own may fail in any way where there are no values
        return None
    del graph  # until here what it holds had an address of its own
    return [*held.values()]


def bytes_of_pass(
    net: nn.Module, shape: Sequence[int], dtype: torch.dtype | None = None
) -> int | None:
    """Bytes that a forward and a backward pass take beside the weights, about.

    All that is kept, and thrice the largest of it, for the gradients that go from one layer to the
    next and what a layer works with.

    Args:
        net: see :func:`kept_by_pass`.
        shape: likewise.
        dtype: likewise.
    """
    kept = kept_by_pass(net, shape, dtype)
    return None if kept is None else sum(kept) + 3 * max(kept, default=0)


def free_bytes(device: torch.device) -> int | None:
    """What is free on a device, for a process; ``None`` where nothing says it."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()


def _memory(tensor: Tensor) -> int:
    """The same of two tensors that share memory."""
    return int(tensor.untyped_storage()._cdata)
