"""What the arguments of measures may be, beside those that a network's functions know."""

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from segtrace.attribution.flow import A_FLOW
from segtrace.errors import Guard, InputError, wrong
from segtrace.network.guards import a_name, a_number, a_tensor, a_whole, holding, names, optional


def masks(name: str, value: Any) -> Tensor:
    """Where organs lie in slices or volumes, (O, N, *image): bool, or numbers that are 0 and 1."""
    a_tensor(name, value)
    if value.ndim not in (4, 5) or not value.numel():
        raise wrong(name, value, "masks (organs, slices, H, W), or (organs, volumes, D, H, W)")
    if value.dtype == torch.bool:
        return value
    if (off := (value != 0) & (value != 1)).any():
        raise InputError(
            f"{name} hold {value[off][0].item():g}; masks are bool, or 0 and 1: one an organ, e.g. "
            "labels == channel"
        )
    return value.bool()


def of_slices(name: str, value: Any) -> Tensor:
    """(…, N) numbers of slices, in a tensor or whatever one can be made of, as floating ones."""
    wanted = "a number a slice, a tensor (…, N)"
    try:
        found = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise wrong(name, value, wanted) from None
    a_tensor(name, found)
    if not found.ndim or not found.shape[-1]:
        raise wrong(name, value, wanted)
    return found if found.is_floating_point() else found.double()


def measured(name: str, value: Any) -> None:
    """Numbers of every map, and the status of each."""
    import xarray as xr

    if not isinstance(value, xr.Dataset) or "status" not in value.coords or not value:
        raise wrong(name, value, "a Dataset, as measure(…) returns it")


def wholes(name: str, value: Any) -> None:
    """Several whole numbers."""
    if _once_or_none(value) or not all(_is(one, Integral) for one in value):
        raise wrong(name, value, "a list of whole numbers")


def numbers(name: str, value: Any) -> None:
    """Several numbers."""
    if _once_or_none(value) or not all(_is(one, Real) for one in value):
        raise wrong(name, value, "a list of numbers")


def a_size(name: str, value: Any) -> None:
    """Rows and columns, of volumes planes before them."""
    if (
        _once_or_none(value)
        or len(value) not in (2, 3)
        or not all(_is(n, Integral) and n > 0 for n in value)
    ):
        raise wrong(name, value, "(rows, columns) or (planes, rows, columns), whole numbers")


def tensors(name: str, value: Any) -> None:
    """Several tensors of one shape."""
    if isinstance(value, Tensor | str) or not isinstance(value, Sequence) or not value:
        raise wrong(name, value, "a list of tensors, one a run")
    for one in value:
        a_tensor(f"one of {name}", one)
        if one.shape != value[0].shape:
            raise InputError(f"{name} have the shapes {[tuple(t.shape) for t in value]}; they must "
                             "be alike")  # fmt: skip


def _once_or_none(value: Any) -> bool:
    """Not something that can be gone through several times, number by number."""
    if isinstance(value, str | bytes | Mapping | Iterator | Tensor):
        return True
    return not isinstance(value, Sequence) and getattr(value, "ndim", 0) != 1


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def a_pair(name: str, value: Any) -> None:
    """The flows of two parts."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise wrong(name, value, "two flows, (first, second)")
    for one in value:
        A_FLOW(f"one of {name}", one)


ARGUMENTS: Mapping[str, Guard] = {
    "flow": A_FLOW,
    "earlier": A_FLOW,
    "later": A_FLOW,
    "first": A_FLOW,
    "second": A_FLOW,
    "masks": masks,
    "above": of_slices,
    "below": optional(of_slices),
    "spacing": optional(a_tensor),
    "measured": measured,
    "columns": optional(names),
    "stages": names,
    "size": optional(a_size),
    "epochs": wholes,
    "gain": numbers,
    "dice": optional(numbers),
    "head": optional(numbers),
    "body": optional(a_tensor),
    "mirror": a_whole,
    "untrained_largest": a_number,
    "runs": tensors,
    "measures": a_name,
    "parts": optional(a_pair),
}
"""Name of an argument -> its guard."""


def spaced(given: Mapping[str, Any]) -> None:
    """Two numbers of mm a slice, three a volume."""
    masks, spacing = given["masks"], given.get("spacing")
    wanted = (masks.shape[1], masks.ndim - 2)
    if spacing is not None and tuple(spacing.shape) != wanted:
        along = "rows and columns of every slice" if wanted[1] == 2 else "every volume's axes"
        raise InputError(
            f"the spacing has shape {tuple(spacing.shape)}; {wanted} is needed: mm along {along}"
        )


def names_or_numbers(name: str, value: Any) -> list[str | int]:
    """What tells cases apart, one a slice."""
    found = value.tolist() if hasattr(value, "tolist") else value
    if (
        isinstance(found, str)
        or not isinstance(found, Sequence)
        or not all(isinstance(one, str | Integral) for one in found)
    ):
        raise wrong(name, value, "a list of names, that of its case for each slice")
    return list(found)


def one_case_each(given: Mapping[str, Any]) -> None:
    """A case's name for every slice, and as many slices above as below."""
    shapes = [tuple(given[name].shape) for name in ("above", "below") if name in given
              and given[name] is not None]  # fmt: skip
    slices = shapes[0][-1]
    if len(given["cases"]) != slices:
        raise InputError(
            f"{len(given['cases'])} cases for {slices} slices; give the name of a case for each"
        )
    pairs = zip(reversed(shapes[0]), reversed(shapes[-1]), strict=False)
    if shapes[-1][-1] != slices or any(1 not in pair and len({*pair}) > 1 for pair in pairs):
        raise InputError(f"above and below have the shapes {shapes[0]} and {shapes[-1]}; give "
                         "both for the same slices")  # fmt: skip


held = holding(ARGUMENTS)
