"""A bundle's configuration read as data: references followed, expressions and macros not.

MONAI would run what begins with ``$``, import what ``_target_`` names, and open what follows ``%``.
Here a reference ``@a#b`` (or ``@a::b``, or ``$@a#b`` and nothing more) is followed to a plain
value, MONAI's names of keys are looked up in a table, and all else is text that whoever needs it
refuses.
"""

import re
from collections.abc import Mapping
from typing import Any

from segtrace.errors import InputError, printable

DEEPEST = 32
"""References that lead to one another, values within values."""
TARGET, DISABLED = "_target_", "_disabled_"
CONSTANTS = {
    f"$monai.utils.{kind}.{name.upper()}": name
    for kind in ("CommonKeys", "enums.CommonKeys")
    for name in ("image", "label", "pred")
}
"""Expressions that stand for a word."""
BARE = re.compile(r"\$@[\w#:]+")
"""An expression that is a reference and nothing more."""


def _read(value: Any) -> Any:
    """A value as it is read where it stands: as plain as it can be said without running it."""
    if not isinstance(value, str):
        return value
    return value[1:] if BARE.fullmatch(value) else CONSTANTS.get(value, value)


class Config:
    """The values of one configuration.

    Args:
        values: of the file.
        where: the file, for messages.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def plain(self, value: Any, place: str, depth: int = 0) -> Any:
        """A value with all references in it followed.

        Args:
            value: of this file.
            place: where it stands, for messages.
            depth: how far it is within others.

        Raises:
            InputError: an expression, a macro, a reference to nothing or to itself.
        """
        if depth > DEEPEST:
            raise self.refused(place, value, "its references lead in a circle")
        value = _read(value)
        if isinstance(value, str) and value[:1] in ("$", "%"):
            kind = "an expression" if value[0] == "$" else "a macro"
            raise self.refused(place, value, f"it is {kind}, and none is run")
        if isinstance(value, str) and value.startswith("@"):
            return self.plain(self._at(value, place), place, depth + 1)
        if isinstance(value, Mapping):
            return {name: self.plain(v, f"{place}#{name}", depth + 1) for name, v in value.items()}
        if isinstance(value, list):
            return [self.plain(v, f"{place}#{i}", depth + 1) for i, v in enumerate(value)]
        return value

    def followed(self, value: Any, place: str) -> Any:
        """A value where it is no reference itself; what is within it stays as it is.

        Raises:
            InputError: see :meth:`plain`.
        """
        for _ in range(DEEPEST):
            value = _read(value)
            if not (isinstance(value, str) and value.startswith("@")):
                return value
            value = self._at(value, place)
        raise self.refused(place, value, "its references lead in a circle")

    def refused(self, place: str, value: Any, why: str) -> InputError:
        """The error for a value that cannot be read."""
        return InputError(
            f"{self.where}: {place}={printable(repr(value), 120)}: {why}; write the plain value "
            "there"
        )

    def _at(self, reference: str, place: str) -> Any:
        """What a reference leads to."""
        found: Any = self.values
        for part in reference[1:].replace("::", "#").split("#"):
            found = self.followed(found, place)
            if isinstance(found, Mapping) and part in found:
                found = found[part]
            elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                raise self.refused(place, reference, "it leads to nothing plain in this file")
        return found
