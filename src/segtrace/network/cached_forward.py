"""Recompute only what can have changed: replay what the network computed before a cut.

A module that has returned before anything is cut cannot depend on the cut. Its recorded output is
returned again and nothing inside it runs. This is decided from the order in which the modules of
this very network return, and asks nothing of its architecture. Not replayed are: a module that
runs more than once, that returns anything but tensors, whose output is overwritten in place later
(it would be overwritten in the record), or inside which a hook of the cut listens.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segtrace.network.edges import Edge
from segtrace.network.logits import Output, logits_at, sent
from segtrace.network.sites import Site
from segtrace.network.stages import Stage


@dataclass(frozen=True)
class Timetable:
    """When each module of a network starts and returns in a forward pass.

    Attributes:
        starts: module path -> count of starts and returns before it; first call.
        returns: the same for its return.
        replayable: the paths whose output may be returned again.
    """

    starts: Mapping[str, int]
    returns: Mapping[str, int]
    replayable: frozenset[str]

    @classmethod
    def of(cls, net: nn.Module, x: Tensor) -> "Timetable":
        """Watch one forward pass."""
        watch = _Watch({}, {}, {}, set())
        with torch.no_grad(), ExitStack() as stack:
            for path, module in _modules(net):
                watch.listen(stack, path, module)
            sent(net, x)
        return cls(watch.starts, watch.returns, watch.replayable())

    def before(self, *sites: Site) -> tuple[str, ...]:
        """The outermost modules whose outputs a cut of all these sites cannot change.

        The module whose output a site is belongs to them: the cut comes behind it.
        """
        heard = [site.module for site in sites]
        heard += [s.beside for s in sites if isinstance(s, Edge) and s.beside is not None]
        if any(path not in self.starts for path in heard):
            return ()
        moment = min(self._moment(site) for site in sites)
        done = [
            path
            for path in self.replayable
            if self.returns[path] <= moment and not any(_inside(h, path) for h in heard)
        ]
        return tuple(path for path in done if not any(_inside(path, other) for other in done))

    def _moment(self, site: Site) -> int:
        """When the site is passed."""
        takes_input = isinstance(site, Edge) and site.argument is not None
        return (self.starts if takes_input else self.returns)[site.module]


def _modules(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules but the network itself, and those whose forward cannot be exchanged."""
    for path, module in net.named_modules():
        if path and not isinstance(module, torch.jit.ScriptModule):
            yield path, module


def _inside(path: str, other: str) -> bool:
    return path.startswith(other + ".")


@dataclass(frozen=True)
class _Watch:
    """What is written down during one forward pass."""

    starts: dict[str, int]
    returns: dict[str, int]
    kept: dict[str, tuple[Any, list[int]]]  # path -> output, versions of its tensors
    twice: set[str]

    def listen(self, stack: ExitStack, path: str, module: nn.Module) -> None:
        def on_start(_module: nn.Module, _inputs: Any) -> None:
            if path in self.starts:
                self.twice.add(path)
            self.starts.setdefault(path, self._now())

        def on_return(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self.returns.setdefault(path, self._now())
            tensors = _tensors(output)
            if tensors:
                self.kept[path] = output, [tensor._version for tensor in tensors]

        stack.callback(module.register_forward_pre_hook(on_start).remove)
        stack.callback(module.register_forward_hook(on_return).remove)

    def _now(self) -> int:
        return len(self.starts) + len(self.returns)

    def replayable(self) -> frozenset[str]:
        return frozenset(
            path
            for path, (output, versions) in self.kept.items()
            if path not in self.twice
            and [tensor._version for tensor in _tensors(output)] == versions
        )


def _tensors(output: Any) -> list[Tensor]:
    """The tensors of an output that can be replayed; empty for any other."""
    parts = list(output) if type(output) in (list, tuple) else [output]
    return parts if all(isinstance(part, Tensor) for part in parts) else []


@dataclass(frozen=True)
class CachedForward:
    """One batch, run as the network is, with the outputs that later runs do not compute again.

    Attributes:
        net: the network.
        x: (N, C, *image).
        timetable: of the network.
        outputs: module path -> what it returned.
        logits: (N, C, *image) of the network as it is.
    """

    net: nn.Module
    x: Tensor
    timetable: Timetable
    outputs: Mapping[str, Any]
    logits: Tensor
    output: Output | None = None

    @classmethod
    def of(
        cls,
        net: nn.Module,
        x: Tensor,
        timetable: Timetable,
        sites: Sequence[Site | Sequence[Site]],
        output: Output | None = None,
    ) -> "CachedForward":
        """Run the batch and keep what cuts of these sites, alone or together, leave as it is."""
        cuts = [(site,) if isinstance(site, Stage | Edge) else site for site in sites]
        paths = dict.fromkeys(path for cut in cuts for path in timetable.before(*cut))
        outputs: dict[str, Any] = {}
        with torch.no_grad(), ExitStack() as stack:
            for path in paths:
                stack.enter_context(_recording(net.get_submodule(path), path, outputs))
            logits = logits_at(net, x, output)
        return cls(net, x, timetable, outputs, logits, output)

    def run(self, site: Site) -> Tensor:
        """Logits of another pass, computing only what a change at the site can change.

        To be called while the site is cut (see :func:`segtrace.network.hooks.edit`).
        """
        with torch.no_grad(), self.standing(site):
            return logits_at(self.net, self.x, self.output)

    @contextmanager
    def standing(self, *sites: Site) -> Iterator[None]:
        """In the block the network, run on this batch, computes only what lies behind the sites.

        Of what is recorded (see :meth:`of`); for sites that are cut together.
        """
        paths = [path for path in self.timetable.before(*sites) if path in self.outputs]
        with ExitStack() as stack:
            for path in paths:
                stack.enter_context(_returning(self.net.get_submodule(path), self.outputs[path]))
            yield


@contextmanager
def _recording(module: nn.Module, path: str, outputs: dict[str, Any]) -> Iterator[None]:
    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs[path] = output

    handle = module.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _returning(module: nn.Module, output: Any) -> Iterator[None]:
    """Let the module return this instead of running; its hooks are called as ever."""
    own = vars(module).get("forward")  # set by hand on this very module, if at all

    def forward(*_args: Any, **_kwargs: Any) -> Any:
        return list(output) if isinstance(output, list) else output

    vars(module)["forward"] = forward
    try:
        yield
    finally:
        if own is None:
            del vars(module)["forward"]
        else:
            vars(module)["forward"] = own
