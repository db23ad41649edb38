"""How much memory a forward and a backward pass take, counted before they are run; what is free."""

import copy
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

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
    net: nn.Module,
    shape: Sequence[int],
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> int | None:
    """Bytes that a forward and a backward pass take beside the weights, about.

    All that is kept, and thrice the largest of it, for the gradients that go from one layer to the
    next and what a layer works with. Where a convolution works with more than that, with its
    unfolded image, thrice this: it is freed in pieces of which a process hands few back.

    Of volumes the count is 1.0 to 1.1 times the peak. Of slices, whose tensors of less than 32 MiB
    glibc keeps when they are freed, it is some 0.8 of a process's peak (BasicUNet, AttentionUnet;
    1.1 with ``MALLOC_MMAP_THRESHOLD_=1048576``, under which they are handed back).

    Args:
        net: see :func:`kept_by_pass`.
        shape: likewise.
        dtype: likewise.
        device: of the pass; None for the CPU. Elsewhere nothing is unfolded.
    """
    unfolded = _Unfolded()
    with unfolded:
        kept = kept_by_pass(net, shape, dtype)
    if kept is None:
        return None
    on_cpu = device is None or device.type == "cpu"
    return sum(kept) + 3 * max(*kept, unfolded.largest if on_cpu else 0, 0)


class _Unfolded(TorchDispatchMode):
    """Notes the bytes of the largest image that a convolution on the CPU would unfold."""

    largest = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            image, weight, *_, transposed, _, _ = args
            if _unfolds(args) and prod(weight.shape[2:]) > 1:
                seen = image if transposed else found  # where the kernel is laid on
                cells = len(seen) * prod(seen.shape[2:])
                size = cells * prod(weight.shape[1:]) * image.element_size()
                self.largest = max(self.largest, size)
        return found


def _unfolds(args: Sequence[Any]) -> bool:
    """Whether torch would take its own convolution on the CPU, and not oneDNN's, by its word."""
    # Of one number each: torch looks at shapes alone, and no memory is taken.
    image, weight, bias = (
        None if one is None else torch.zeros(1, dtype=one.dtype, device="cpu").expand(one.shape)
        for one in args[:3]
    )
    select = getattr(torch._C, "_select_conv_backend", None)  # of torch's own, and not documented
    return select is not None and select(image, weight, bias, *args[3:]).name.startswith("Slow")


def free_bytes(device: torch.device) -> int | None:
    """What is free on a device, for a process; ``None`` where nothing says it."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else free_memory()


def _memory(tensor: Tensor) -> int:
    """The same of two tensors that share memory."""
    return int(tensor.untyped_storage()._cdata)
