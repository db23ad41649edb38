"""One pass, as the calls of the network's modules: what went in, what came out, in which order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.errors import InputError
from segtrace.network.graph import DETACHED
from segtrace.network.logits import Output, alike, logits_of, sent
from segtrace.network.stages import not_in_table

Cells = tuple[int, ...]


@dataclass(frozen=True)
class Passed:
    """A tensor that passed, without its values.

    Attributes:
        node: in the graph, behind which all lies that it was made from.
        cells: of its grid; ``None`` for one that is no grid of this image, or of a single cell.
        layout: as in :class:`segtrace.network.stages.Stage`.
    """

    node: Any
    cells: Cells | None
    layout: str

    @classmethod
    def of(cls, tensor: Tensor, image: Sequence[int], slices: int) -> "Passed":
        """A tensor, as the grid that it is of an image's axes."""
        found = next(_grids(tensor, tuple(image)), None) if len(tensor.shape) > 2 else None
        fits = found is not None and len(tensor) == slices and prod(found[0]) > 1
        cells, layout = found if fits and found else (None, "nchw")
        return cls(tensor.grad_fn, cells, layout)

    @property
    def size(self) -> int:
        """Number of its cells, 0 for what is no grid."""
        return prod(self.cells or (0,))


def _grids(tensor: Tensor, image: Cells) -> Iterator[tuple[Cells, str]]:
    """Cells and layout of a tensor that holds some for every part of an image."""
    shape = tuple(tensor.shape)
    if len(shape) == len(image) + 2:
        if alike(shape[2:], image):
            yield shape[2:], "nchw"
        if alike(shape[1:-1], image):
            yield shape[1:-1], "nhwc"
    if len(shape) == 3 and len(image) > 1:
        for patch in range(1, min(image) + 1):
            cells = tuple(side // patch for side in image)
            fits = all(side % patch == 0 for side in image)
            if fits and shape[1] in (prod(cells), prod(cells) + 1):
                yield cells, f"tokens({', '.join(map(str, cells))})"


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        path: of the module, as ``named_modules`` says it; empty for the network.
        start: number of calls begun before.
        arguments: number or name -> each tensor among the arguments.
        output: what it returned, if that is one tensor.
        inner: calls that were made in it.
        end: number of calls begun before it returned.
        once: whether the module was called at no other time.
    """

    path: str
    start: int
    arguments: dict[int | str, Passed]
    output: Passed | None = None
    inner: list["Call"] = field(default_factory=list)
    end: int = 0
    once: bool = True

    @property
    def all(self) -> Iterator["Call"]:
        """This call and all in it, in the order in which they began."""
        yield self
        for one in self.inner:
            yield from one.all


@dataclass(frozen=True)
class Pass:
    """A pass of one slice through a network.

    Attributes:
        calls: in the order in which they began, that of the network first.
        logits: what it ends in.
        leaf: the image.
    """

    calls: tuple[Call, ...]
    logits: Passed
    leaf: Tensor

    @classmethod
    def of(cls, net: nn.Module, x: Tensor, output: Output | None) -> "Pass":
        """Send a random slice of this shape through, and listen to every module.

        Raises:
            InputError: a scripted network; see :func:`segtrace.network.logits.logits_of`; logits
                without a gradient.
        """
        if isinstance(net, torch.jit.ScriptModule):
            raise not_in_table(net)
        noise = torch.rand(x[:1].shape, generator=torch.Generator().manual_seed(0))
        leaf = noise.to(x).requires_grad_()
        listening = _Listening(tuple(x.shape[2:]))
        with torch.enable_grad(), ExitStack() as stack:
            for path, module in net.named_modules():
                for handle in listening.handles(path, module):
                    stack.callback(handle.remove)
            logits = logits_of(sent(net, leaf), leaf, output, net)
        if logits.grad_fn is None:
            raise InputError(DETACHED)
        return cls(tuple(listening.top[0].all), Passed.of(logits, listening.image, 1), leaf)


class _Listening:
    """Builds the tree of calls."""

    def __init__(self, image: Cells) -> None:
        self.image, self.top, self.count = image, list[Call](), 0
        self.open, self.seen = list[Call](), dict[str, Call]()

    def handles(self, path: str, module: nn.Module) -> Iterator[Any]:
        """Listen to a module, if anybody can listen there."""
        if not isinstance(module, torch.jit.ScriptModule):
            yield module.register_forward_pre_hook(self._start(path), with_kwargs=True)
            yield module.register_forward_hook(self._end)

    def _start(self, path: str) -> Callable[..., None]:
        def on_start(_module: nn.Module, args: tuple, kwargs: dict) -> None:
            given: dict[int | str, Any] = {**dict(enumerate(args)), **kwargs}
            tensors = {at: self._passed(one) for at, one in given.items() if _is_tensor(one)}
            call = Call(path, self.count, tensors)
            self.count += 1
            (self.open[-1].inner if self.open else self.top).append(call)
            self.open.append(call)
            if path in self.seen:
                call.once = self.seen[path].once = False
            self.seen[path] = call

        return on_start

    def _end(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        call = self.open.pop()
        call.end = self.count
        if _is_tensor(output):
            call.output = self._passed(output)

    def _passed(self, tensor: Tensor) -> Passed:
        return Passed.of(tensor, self.image, 1)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0
