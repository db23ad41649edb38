"""What a network of another training is given: its own preprocessing, made from our slices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from segtrace.errors import InputError, unknown, wrong
from segtrace.network.undisturbed import unwrapped

WHERE = "preprocessing"
VALUES = ("HU", "unit")
REPEAT = "repeat"


@dataclass(frozen=True)
class Entering:
    """Slices as we show them, 0 to 1 over a window, become what the network was trained on.

    Attributes:
        window: HU at 0 and 1; ``None`` where the slices hold what their loader gives.
        percentile: of each slice, in per cent: what lies beyond is clipped; ``None`` for nothing.
        mean: is subtracted, one number or one a channel; ``None`` for nothing.
        std: is divided by, likewise.
        values: in which ``mean`` and ``std`` are: ``HU``, or ``unit``, 0 to 1 over the window.
        channels: how often a slice is repeated along its channels.

    >>> entering = Entering.of({"window": [-100, 300], "mean": 100, "std": 50, "channels": 2})
    >>> entering(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3))
    tensor([[[[-4.,  0.,  4.]],
    <BLANKLINE>
             [[-4.,  0.,  4.]]]])
    """

    window: tuple[float, float] | None = None
    percentile: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    values: str = "HU"
    channels: int = 1

    @classmethod
    def of(cls, given: Any, net: nn.Module | None = None) -> "Entering":
        """As it was asked for.

        Args:
            given: name -> value, by the attributes; ``channels`` may be ``repeat``.
            net: whose first convolution says how many channels ``repeat`` is.

        Raises:
            InputError: a name or value that cannot be.
        """
        names = list(cls.__dataclass_fields__)
        if not isinstance(given, Mapping):
            raise wrong(WHERE, given, "a mapping, e.g. {window: [-160, 240], mean: 100, std: 80}")
        for name in given:
            if name not in names:
                raise unknown("option", f"{WHERE}.{name}", [f"{WHERE}.{one}" for one in names])
        kept = {name: value for name, value in given.items() if value is not None}
        if kept.get("values", "HU") not in VALUES:
            raise unknown(f"{WHERE}.values", kept["values"], VALUES)
        read: dict[str, Any] = {"values": kept.get("values", "HU")}
        for name, (low, high) in {"window": (-math.inf, math.inf), "percentile": (0, 100)}.items():
            read[name] = _ends(name, kept.get(name), low, high)
        for name in ("mean", "std"):
            read[name] = _numbers(name, kept.get(name))
        if (read["mean"] is None) != (read["std"] is None):
            raise InputError(f"{WHERE} has one of mean and std; give both, or neither")
        if any(one <= 0 for one in read["std"] or ()):
            raise InputError(f"{WHERE}.std={kept['std']}; give numbers above 0")
        found = cls(**read, channels=_channels(kept.get("channels", 1), net))
        counts = {len(one) for one in (found.mean, found.std) if one is not None}
        if counts - {1, found.channels}:
            raise InputError(
                f"{WHERE} has {max(counts)} numbers of mean and std for {found.channels} channels; "
                f"give one, or one a channel, with {WHERE}.channels={max(counts)}"
            )
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """(N, 1, *image), or as many channels as it gives -> (N, channels, *image).

        Raises:
            InputError: images of another number of channels than their numbers are for.
        """
        low, high = self.window or (0.0, 1.0)
        if x.shape[1] not in (1, self.channels) and (self.mean is not None or self.channels > 1):
            raise InputError(
                f"{WHERE}.channels={self.channels}, and the images have {x.shape[1]} channels; say "
                f"{WHERE}.channels={x.shape[1]}"
            )
        if self.percentile is not None:
            x = self._clipped(x)
        if self.mean is not None and self.std is not None:
            x = x * (high - low) + low if self.values == "HU" else x
            shape = (1, -1, *[1] * (x.ndim - 2))
            mean, std = (x.new_tensor(one).reshape(shape) for one in (self.mean, self.std))
            return (x.expand(-1, self.channels, *x.shape[2:]) - mean) / std
        return x.expand(-1, self.channels, *x.shape[2:]) if self.channels > 1 else x

    def _clipped(self, x: Tensor) -> Tensor:
        """Each slice within its percentiles; scaled to 0 to 1 where no mean is subtracted."""
        shares = x.new_tensor(self.percentile) / 100
        low, high = x.detach().flatten(1).quantile(shares, 1).reshape(2, -1, *[1] * (x.ndim - 1))
        x = x.maximum(low).minimum(high)
        tiny = torch.finfo(x.dtype).eps
        return x if self.mean is not None else (x - low) / (high - low).clamp(min=tiny)

    def stand_before(self, net: nn.Module) -> RemovableHandle:
        """Let the network take slices as we show them; modules and weights keep their names.

        Of a wrapped one it is the network inside that is called, and before which this stands.
        """
        inner = unwrapped(net)
        return inner.register_forward_pre_hook(lambda _module, args: (self(args[0]), *args[1:]))

    @contextmanager
    def before(self, net: nn.Module) -> Iterator[None]:
        """The same during the block."""
        handle = self.stand_before(net)
        try:
            yield
        finally:
            handle.remove()


def _ends(name: str, given: Any, low: float, high: float) -> tuple[float, float] | None:
    if given is None:
        return None
    found = _numbers(name, given)
    if found is None or len(found) != 2 or not low <= found[0] < found[1] <= high:
        bounds = "" if low == -math.inf else f", {low:g} to {high:g}"
        raise InputError(f"{WHERE}.{name}={given}; give [low, high], low < high{bounds}")
    return found[0], found[1]


def _numbers(name: str, given: Any) -> tuple[float, ...] | None:
    """One number or several."""
    if given is None:
        return None
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for one in several:
        if isinstance(one, bool) or not isinstance(one, Real) or not math.isfinite(one):
            raise InputError(f"{WHERE}.{name}={given}; give numbers")
    if not several:
        raise InputError(f"{WHERE}.{name}={given}; give numbers")
    return tuple(float(one) for one in several)


def _channels(given: Any, net: nn.Module | None) -> int:
    if given == REPEAT:
        modules = () if net is None else net.modules()  # a compiled one has no truth value
        first = next((m for m in modules if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
        if first is None:
            raise InputError(
                f"{WHERE}.channels=repeat: the network has no convolution that says how many; give "
                f"a number, {WHERE}.channels=3"
            )
        return int(first.in_channels)
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InputError(f"{WHERE}.channels={given}; give repeat, or a whole number from 1")
    return given
