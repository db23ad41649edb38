"""Send an image through a network and pick the logits out of what it returns."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtrace.activation import SAY_SIGMOID, SOFTMAX, activation_of
from segtrace.axes import sized
from segtrace.errors import InputError, unknown
from segtrace.network.graph import INFERENCE
from segtrace.network.known.table import find

Output = Callable[[Any], Tensor] | str | int
"""What picks the logits out of what a network returns: a function, or an index, key or field."""

NOWHERE = -2
"""Of a channel that decides for itself: it is as good as sure that nothing is there."""
ROUNDING = 1.5
"""Sides rounded down level by level leave two axes with scales that differ by no more than this."""
_AXES_OF = ((nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3))
_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")
_AXES = re.compile(r"[Ee]xpected \d+D")
_SIZES = re.compile(
    r"Sizes of tensors must match|The size of tensor|must be divisible|alculated padded input size"
    r"|Output size is too small|mat1 and mat2 shapes|invalid for input of size"
)
"""How torch and MONAI say that a network does not take an image of this shape."""


def logits_at(net: nn.Module, x: Tensor, output: Output | None = None) -> Tensor:
    """The logits (N, channels, *image) of one pass.

    Raises:
        InputError: an image that the network does not take; see :func:`logits_of`.
    """
    return logits_of(sent(net, x), x, output, net)


def sent(net: nn.Module, x: Tensor) -> Any:
    """What the network returns for an image.

    Raises:
        InputError: an image of another number of channels, axes or pixels than the network takes;
            a part of the network that runs in inference mode where gradients are needed.
    """
    try:
        return net(x.clone())  # which the network may write into
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        mistake = _mistake(net, str(error), x)
        if mistake is None:
            raise
        raise InputError(mistake) from error


def _mistake(net: nn.Module, said: str, x: Tensor) -> str | None:
    """What is wrong with the image, in one line; ``None`` where something else is."""
    if "nference tensor" in said:
        return INFERENCE
    line, shape = said.strip().split("\n")[0], tuple(x.shape)
    axes = {count for m in net.modules() for kind, count in _AXES_OF if isinstance(m, kind)}
    if _AXES.search(said) or (len(axes) == 1 and axes != {x.ndim - 2}):
        return (
            f"the network does not take images with {_axes(x)}, as {shape} has ({line}); a "
            "2-D network takes slices (N, C, H, W), a 3-D one volumes (N, C, D, H, W)"
            f"{_unbatched(x)}"
        )
    counts = _CHANNELS.search(said)
    if counts is not None and int(counts[2]) == x.shape[1]:
        wanted = int(counts[1])
        sizes = ", ".join(["-1", str(wanted), *["-1"] * (x.ndim - 2)])
        how = f", e.g. image.expand({sizes})" if x.shape[1] == 1 else ""
        return f"the network takes images of {wanted} channels; this one is {shape}{how}"
    if _SIZES.search(said):
        given = [*x.shape[2:]]
        sides = [max(32, round(side / 32) * 32) for side in given]
        most = "most take multiples of 32"
        if sides == given:
            sides, most = [2 * side for side in given], "some take larger ones alone"
        return (
            f"the network does not take images of {sized(given)} ({line}); "
            f"{most}, e.g. {sized(sides)}"
        )
    return None


def _axes(x: Tensor) -> str:
    """How many an image has, in words."""
    return "1 axis" if x.ndim == 3 else f"{x.ndim - 2} axes"


def _unbatched(x: Tensor) -> str:
    """What to do about one slice that is alone."""
    return "; of one slice (C, H, W) give image[None]" if x.ndim == 3 else ""


def logits_of(returned: Any, x: Tensor, output: Output | None, net: nn.Module) -> Tensor:
    """The logits (N, channels, *image) in what the network returned.

    Those of a classifier, (N, classes), are logits of an image of one pixel. Where nothing says how
    to pick them, the one tensor of the image's size is taken, and said.

    Args:
        returned: by the network.
        x: the image.
        output: picks them; ``None`` for what the table of known networks says.
        net: the network itself.

    Raises:
        InputError: no tensor, or one of another rank, number of slices or shape of the image axes
            than the image; says how to pick the logits where they are in it.
    """
    if output is None:
        found = _one_of_its_size(known_logits(returned, x, net), x)
    else:
        found = picked(returned, output)
        tell_other_size(returned, found, x, output)
    if not isinstance(found, Tensor):
        what = "the network" if output is None else "output=…"
        raise InputError(f"{what} returns a {type(found).__name__}; {_advice(returned, x)}")
    if found.ndim == 2 and len(found) == len(x):
        return found[(..., *[None] * (x.ndim - 2))]  # a classifier's, as those of one pixel
    if found.ndim != x.ndim or len(found) != len(x):
        raise InputError(
            f"the logits have shape {tuple(found.shape)}; an image of {tuple(x.shape)} asks for "
            f"({len(x)}, channels, …) with {_axes(x)}; {_advice(returned, x)}{_unbatched(x)}"
        )
    _refuse_other_axes(found.shape[2:], found.movedim(-1, 1).shape[2:], x.shape[2:], found.shape)
    return found


def known_logits(returned: Any, x: Tensor, net: nn.Module) -> Any:
    """What the table says are the logits in what a network returned; of another network, all."""
    known = find(net)
    if known is None:
        return returned
    found = returned
    if known.output:
        with suppress(InputError):  # in evaluation some return their logits alone
            found = picked(returned, known.output)
    if known.resized and isinstance(found, Tensor) and found.shape[2:] != x.shape[2:]:
        return interpolate(found, x.shape[2:], mode="bilinear", align_corners=False)
    return found


def picked(returned: Any, output: Output) -> Any:
    """What a function, an index, a key or a field picks out of what a network returned.

    By a name nothing is picked out of a tensor: a network may return its logits alone, or several
    outputs in a list, as its training asks for. Nothing is imported: a name is plain data.

    Raises:
        InputError: there is no such index, key or field.

    >>> picked({"out": 1}, "out"), picked([1, 2], 0), picked([1, 2], "-1")
    (1, 1, 2)
    """
    if callable(output):
        return output(returned)
    if isinstance(returned, Tensor):
        return returned
    parts = dict(_named(returned))
    name = str(output)
    if name.startswith("-") and isinstance(returned, list | tuple):
        name = str(len(returned) + int(name)) if name[1:].isdigit() else name
    if name not in parts:
        raise unknown("output", output, parts, f"the {type(returned).__name__} it picks from")
    return parts[name]


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a value by index, key or field, as text."""
    if isinstance(value, list | tuple):
        yield from zip(getattr(value, "_fields", ()), value, strict=False)
        yield from ((str(i), inner) for i, inner in enumerate(value))
    elif isinstance(value, Mapping):
        yield from ((str(key), inner) for key, inner in value.items())
    elif is_dataclass(value) or hasattr(value, "__dict__"):
        yield from vars(value).items()


def _one_of_its_size(returned: Any, x: Tensor) -> Any:
    """The one tensor of the image's size in what was returned, said; else all that was."""
    if isinstance(returned, Tensor):
        return returned
    fitting = _of_its_size(returned, x)
    if len({id(tensor) for _, tensor in fitting}) != 1:
        return returned
    name, tensor = fitting[-1]
    _say_once(
        f"the network returns a {type(returned).__name__}; its one tensor of the image's size, "
        f"output={_typed(name)} of shape {tuple(tensor.shape[1:])}, is taken for the logits"
    )
    return tensor


def tell_other_size(returned: Any, found: Any, x: Tensor, output: Output) -> None:
    """Say that what was picked is coarser than the image, where something else is not.

    So is the head of a deep supervision, or another auxiliary one: it may be meant.
    """
    if returned is found or not isinstance(found, Tensor) or found.shape[2:] == x.shape[2:]:
        return
    if fitting := _of_its_size(returned, x):
        name, tensor = fitting[0]
        given = getattr(output, "__name__", None) or _typed(str(output))
        _say_once(
            f"output={given} picks logits of shape {tuple(found.shape[1:])}, coarser than the "
            "image: maps and regions are of that output alone; of the image's size is "
            f"output={_typed(name)}, {tuple(tensor.shape[1:])}"
        )


def found_activation(logits: Tensor, asked: str | None) -> str:
    """The activation of logits (N, C, *image); said where they speak against what is taken.

    Of several channels a softmax is taken. Trained behind one, the largest logit is above 0 nearly
    everywhere; where each channel decides for itself, all are far below 0 wherever nothing is, and
    one is far above 0 where something is.

    Raises:
        InputError: see :func:`segtrace.activation.activation_of`.
    """
    found = activation_of(logits.shape[1], asked)
    if asked is None and found == SOFTMAX:
        largest = logits.detach().amax(1)
        if float((largest < NOWHERE).float().mean()) > 0.5 and float(largest.max()) > -NOWHERE:
            _say_once(
                f"the {logits.shape[1]} channels are taken for classes that shut each other out "
                f"(softmax), and at most pixels all logits are below {NOWHERE}, as where every "
                f"channel decides for itself: if so, {SAY_SIGMOID}; else activation='softmax'"
            )
    return found


def _of_its_size(returned: Any, x: Tensor) -> list[tuple[str, Tensor]]:
    """The tensors of the image's size in what was returned, by index, key or field."""
    return [
        (name, tensor)
        for name, tensor in _named(returned)
        if isinstance(tensor, Tensor) and _is_sized(tensor, x)
    ]


def _is_sized(tensor: Tensor, x: Tensor) -> bool:
    return (tensor.shape[:1], tensor.shape[2:]) == (x.shape[:1], x.shape[2:])


@cache
def _say_once(line: str) -> None:
    """Every pass of every epoch would say it again."""
    warnings.warn(line, stacklevel=1)


def _typed(name: str) -> str:
    """An index, key or field as Python and a shell both take it."""
    return name if name.isdigit() else repr(name)


def _refuse_other_axes(
    cells: Sequence[int], last: Sequence[int], image: Sequence[int], shape: Sequence[int]
) -> None:
    """Refuse logits whose image axes are not the image's, be it in another resolution.

    Args:
        cells: sides of the logits.
        last: the same if their channels stand last.
        image: sides of the image.
        shape: of the logits.
    """
    if tuple(cells) == tuple(image):
        return
    said = f"the logits have shape {tuple(shape)}, whose image axes should be as {tuple(image)}"
    if tuple(last) == tuple(image) or (alike(last, image) and not alike(cells, image)):
        raise InputError(
            f"{said}; their channels stand last: say output=lambda out: out.movedim(-1, 1), or "
            "where there is no such option wrap the network in one whose forward returns that"
        )
    factors = [cell / side for cell, side in zip(cells, image, strict=True)]
    if not (alike(cells, image) or max(factors) <= ROUNDING * min(factors)):
        raise InputError(
            f"{said}; let the network return them with the image's sides in this order, or say "
            "output=… to do it"
        )


def alike(cells: Sequence[int], image: Sequence[int]) -> bool:
    """Whether sides are the image's at one resolution up to a cell, or without a border."""
    pairs = list(zip(cells, image, strict=True))
    low = max((cell - 1) / side for cell, side in pairs)
    high = min((cell + 1) / side for cell, side in pairs)
    return low <= high or len({side - cell for cell, side in pairs}) == 1


def _advice(returned: Any, x: Tensor) -> str:
    """How to pick the logits out of what the network returned, if they are there."""
    fitting = [
        (tensor.shape[2:] != x.shape[2:], path)
        for path, tensor in _tensors(returned, "out", depth=2)
        if tensor.ndim == x.ndim and len(tensor) == len(x)
    ]
    if not fitting:
        return "say output=… to pick the logits, but nothing in it has their shape"
    path = min(fitting, key=lambda one: one[0])[1]  # the first of the image's size, or the first
    name = re.fullmatch(r"out(?:\[(\d+)\]|\['(\w+)'\]|\.(\w+))", path)
    typed = f"lambda out: {path}" if name is None else _typed(next(filter(None, name.groups())))
    return (
        f"say output=… to pick the logits, e.g. output={typed}, or where there is no "
        f"such option wrap the network in one whose forward returns {path}"
    )


def _tensors(value: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value, with the expression that picks each."""
    if isinstance(value, Tensor):
        if value.ndim > 0:
            yield path, value
            yield f"{path}[:, 0]", value[:, 0] if value.ndim > 1 else value
    elif depth > 0:
        for part, inner in _parts(value):
            yield from _tensors(inner, path + part, depth - 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{i}]", inner) for i, inner in enumerate(value))
    elif is_dataclass(value) or hasattr(value, "__dict__"):
        yield from ((f".{name}", inner) for name, inner in vars(value).items())
