"""What came out of a file, as plain values that can be gone through and shown.

A file of unknown origin can hold a list that holds itself, one that is named a billion times, text
that colours a terminal, or a number that poses as an image of a terabyte.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from segtrace.errors import InputError, printable

MOST, DEEPEST, LONGEST = 1_000_000, 20, 10_000
"""Values in all, one within another, letters of a text: far above what is ever written."""


def plain(value: Any, where: str) -> Any:
    """Dicts, lists, text, numbers and tensors; text is printable.

    Args:
        value: as it came out of a file.
        where: the file, for messages.

    Raises:
        InputError: something else, or more than any checkpoint holds.
    """
    return _Walk(where).taken(value, "", 0)


class _Walk:
    def __init__(self, where: str) -> None:
        self.where, self.seen = where, 0

    def taken(self, value: Any, place: str, depth: int) -> Any:
        self.seen += 1
        if self.seen > MOST or depth > DEEPEST:
            raise self._error(place, "holds more than a checkpoint of train.py does")
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, Tensor):
            return self._tensor(value, place)
        if isinstance(value, dict):
            return self._dict(value, place, depth)
        if isinstance(value, list | tuple):
            return [self.taken(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
        raise self._error(place, f"holds a {type(value).__name__}")

    def _dict(self, value: dict[Any, Any], place: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, inner in dict.items(value):  # a file may give its dict another `items`
            if not isinstance(key, str):
                raise self._error(place, f"holds the key {printable(repr(key), 80)}")
            name = self._text(key, place)
            if name in found:
                raise self._error(place, f"holds the name {name!r} twice")
            found[name] = self.taken(inner, f"{place}.{name}" if place else name, depth + 1)
        return found

    def _text(self, value: str, place: str) -> str:
        if len(value) > LONGEST:
            raise self._error(place, f"holds a text of {len(value)} letters")
        return printable(value, 10 * LONGEST)

    def _tensor(self, value: Tensor, place: str) -> Tensor:
        if not dense(value):
            raise self._error(place, "holds a tensor that is not stored value by value")
        return value.detach()

    def _error(self, place: str, what: str) -> InputError:
        at = f" at {printable(place, 80)}" if place else ""
        return InputError(
            f"{self.where} {what}{at}; plain values, text and tensors are needed: write it again "
            "with train.py"
        )


def numbers(tensor: Tensor) -> bool:
    """Whether the tensor is one of ordinary numbers in this machine's memory."""
    ordinary = tensor.layout == torch.strided and not tensor.is_quantized
    return ordinary and tensor.device.type == "cpu"


def dense(tensor: Tensor) -> bool:
    """Whether, besides, each of them is stored, so that it is as large as it says."""
    if not numbers(tensor):
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def stored(tensors: Iterable[Tensor]) -> int:
    """Bytes that these tensors take on the disk, what they share counted once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def tensors_of(saved: Mapping[str, Any], prefix: str, where: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning.

    Raises:
        InputError: one that is not stored value by value.
    """
    found: dict[str, Tensor] = {}
    for name, value in saved.items():
        if isinstance(name, str) and name.startswith(prefix) and isinstance(value, Tensor):
            if not dense(value):
                raise InputError(
                    f"{where}: weight {printable(name, 80)} is not stored value by value; save the "
                    "weights as ordinary tensors on the CPU"
                )
            found[name.removeprefix(prefix)] = value
    return found
