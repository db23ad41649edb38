"""Stages of a network that nobody has described: the modules at each change of resolution."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from segtrace.network.graph import walk
from segtrace.network.proposal.calls import Call, Pass, Passed

STEP = 1.8
"""A resolution is another one from so many times the cells on: a stride of 2 along one axis. What
padding or its lack adds and takes is less."""


@dataclass(frozen=True)
class Levels:
    """The calls that are stages, each the last of its resolution on the way to the next one.

    Attributes:
        encoder: resolution falls; the last is the bottleneck.
        decoder: resolution rises, from the bottleneck up; may be empty.
        head: what puts out the logits.
        is_exact: whether the head's output is the logits themselves.
    """

    encoder: tuple[Call, ...]
    decoder: tuple[Call, ...]
    head: Call
    is_exact: bool

    @property
    def named(self) -> dict[str, Call]:
        """Names of stages -> calls, in order."""
        encoder = {f"enc{i}": call for i, call in enumerate(self.encoder, 1)}
        decoder = {f"dec{i}": call for i, call in enumerate(self.decoder, 1)}
        return encoder | decoder | {"head": self.head}

    @classmethod
    def of(cls, seen: Pass) -> "Levels | None":
        """Those of a pass; ``None`` where no module puts out a grid of the image."""
        behind = set(walk(seen.logits.node))
        found = [
            call
            for top in seen.calls[0].inner
            for call in _outermost(top)
            if _passed(call).node in behind and not _hands_on(call)
        ]
        if not found:
            return None
        exact = [call for call in found if _passed(call).node is seen.logits.node]
        head = exact[0] if exact else found[-1]
        body = found[: found.index(head)]
        lowest = min((_passed(call).size for call in body), default=0)
        first = next((call for call in body if not _steps(lowest, _passed(call).size)), head)
        rise = next(
            (
                call
                for call in body
                if call.start > first.start
                and _steps(lowest, _passed(call).size)
                and _follows(call, first)
            ),
            head,
        )
        down = _levels([call for call in body if call.start < rise.start], rise)
        rest = [call for call in body if call.start >= rise.start and _follows(call, down[-1])]
        return cls(tuple(down), tuple(_levels(rest, head, rises=True)), head, bool(exact))


def _passed(call: Call) -> Passed:
    """The output of a call that has one."""
    assert call.output is not None
    return call.output


def _hands_on(call: Call) -> bool:
    """Whether a call returns what it was given, as dropout does in evaluation mode."""
    return any(passed.node is _passed(call).node for passed in call.arguments.values())


def _follows(call: Call, earlier: Call) -> bool:
    """Whether a call's output was made from an earlier one's."""
    node = _passed(earlier).node
    return any(one is node for one in walk(_passed(call).node))


def _steps(low: int, high: int) -> bool:
    """Whether one number of cells is that of a finer resolution than the other."""
    return high >= STEP * low


def _levels(calls: Sequence[Call], end: Call, *, rises: bool = False) -> list[Call]:
    """The last call of each resolution through which all goes to the first one of the next.

    Args:
        calls: in their order.
        end: what follows them.
        rises: whether resolutions rise; else they fall.
    """
    starts: list[Call] = []
    for call in calls:
        here, before = _passed(call).size, _passed(starts[-1]).size if starts else 0
        if not starts or (_steps(before, here) if rises else _steps(here, before)):
            starts.append(call)
    found = []
    for start, following in zip(starts, [*starts[1:], end], strict=False):
        own = [
            call
            for call in calls
            if start.start <= call.start < following.start
            and _are_alike(_passed(call).size, _passed(start).size)
            and _follows(following, call)
            and _is_passed(following, call, start)
        ]
        found += own[-1:]
    return found


def _are_alike(one: int, other: int) -> bool:
    return not (_steps(one, other) or _steps(other, one))


def _is_passed(end: Call, call: Call, start: Call) -> bool:
    """Whether every way from a level's first call to what follows leads through a call."""
    here, first = _passed(call).node, _passed(start).node
    ways = walk(_passed(end).node, stop=lambda node: node is here)
    return here is first or all(node is not first for node in ways)


def _outermost(call: Call) -> Iterator[Call]:
    """The outermost calls that hide no change of resolution.

    Such a one puts out a grid, and all in it are as fine as what enters or as what leaves.
    """
    if call.once and call.output is not None and call.output.size:
        around = [one.size for one in (*call.arguments.values(), call.output) if one.size]
        if all(any(_are_alike(size, one) for one in around) for size in set(_sizes(call))):
            yield call
            return
    for inner in call.inner:
        yield from _outermost(inner)


def _sizes(call: Call) -> Iterator[int]:
    """Cells of all grids that are put out in a call.

    Between tokens no grid but theirs counts: the weights of attention are as square as an image.
    """
    passed = [*call.arguments.values(), *([call.output] if call.output else ())]
    if call.output is not None and call.output.size:
        yield call.output.size
    if not passed or any(not one.layout.startswith("tokens") for one in passed):
        for inner in call.inner:
            yield from _sizes(inner)


def nodes_of(named: dict[str, Call]) -> dict[Any, str]:
    """Node in the graph -> the stage that put it out."""
    return {_passed(call).node: name for name, call in named.items()}
