"""The head of a network: the convolution whose output its logits are, and its rows."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtrace.errors import InputError, unknown
from segtrace.network.logits import logits_at

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
ENLARGED: tuple[dict[str, Any], ...] = (
    {"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "align_corners": True},
)  # fmt: skip
"""How a head's output becomes logits of the image's size; the mean of channels stays theirs."""


@dataclass(frozen=True)
class Head:
    """A network's last convolution.

    Attributes:
        path: of its module.
        rows: (C, K) a kernel a channel of the logits, flattened.
        alone: its output is the logits; else it was named, and more is done behind it.
    """

    path: str
    rows: Tensor
    alone: bool = True


def head_of(net: nn.Module, x: Tensor, named: str | None = None) -> Head:
    """The head of a network, found by what it gives out.

    Args:
        net: the network, undisturbed and without gradients.
        x: (1, C, H, W) a slice.
        named: path of the convolution that is to be taken, whatever it gives out.

    Raises:
        InputError: there is none; no convolution of that name with a row a channel of the logits.
    """
    convolutions = {path: one for path, one in net.named_modules() if isinstance(one, CONVOLUTIONS)}
    if named is not None and named not in convolutions:
        raise unknown("convolution", named, convolutions, "this network")
    logits, outputs = _passed(net, x, convolutions)
    channels = logits.shape[1]
    fitting = {path: output for path, output in outputs.items()
               if convolutions[path].out_channels == channels
               and convolutions[path].groups == 1 and named in (None, path)}  # fmt: skip
    for path, output in reversed(fitting.items()):
        alone = _gives(output, logits)
        if alone or path == named:
            return Head(path, _rows(convolutions[path]), alone)
    if named is not None:
        raise InputError(
            f"head={named} gives no row a channel of the {channels} logits, all over one input; "
            "name another convolution, or say head=None (YAML: null) to have it found"
        )
    nearest = f", with as many rows: {', '.join(fitting)}" if fitting else ""
    raise InputError(
        f"SegNBDT reads the rows of the convolution whose output the logits are, and none gives "
        f"these {channels} logits out{nearest}; name one whose rows are to be taken all the same, "
        "explainers.segnbdt.head=PATH, or leave segnbdt out"
    )


def _rows(module: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """(C, K) a kernel an output channel; a transposed convolution holds its inputs first."""
    weight = module.weight.detach()
    return (weight.transpose(0, 1) if module.transposed else weight).flatten(1)


def _passed(net: nn.Module, x: Tensor, modules: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the last output of each of some modules that run, in their order."""
    found: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found.pop(path, None)
            found[path] = output.detach().clone()  # it may be overwritten in place

        return hook

    with ExitStack() as stack:
        for path, module in modules.items():
            stack.callback(module.register_forward_hook(keep(path)).remove)
        return logits_at(net, x), found


def _gives(output: Tensor, logits: Tensor) -> bool:
    """Whether an output is the logits, as it is or enlarged."""
    if output.shape == logits.shape:
        return torch.equal(output, logits)
    if output.ndim != 4:
        return False
    size = logits.shape[2:]
    return any(torch.allclose(interpolate(output, size, **way), logits) for way in ENLARGED)
