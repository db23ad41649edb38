"""What a checkpoint says of itself, in today's format whatever the one of the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segtrace.checkpoint.description_keys import KEYS
from segtrace.checkpoint.plain import plain
from segtrace.errors import InputError, printable
from segtrace.models import table

FORMAT = 2
"""Of the description. 1 named the class of the network by its path and had no number."""
KEY = "segtrace"
"""The key under which a checkpoint describes itself."""
KNOWN, FOREIGN = "_network_", "_class_"
"""Beside the arguments of a network: its key in the table, or the name of a class outside it."""
BEFORE = "_target_"
"""Where format 1 had the path of the class."""
SHORT = (str, bool, int, float, type(None))
"""Values that a message repeats."""
NESTED = (
    "probes", "preprocessing", "explain", "environment", "source", "settings", "baselines",
)  # fmt: skip
"""Parts that may lack a key as well."""


class Description(dict[str, Any]):
    """Values of a checkpoint by their keys; one that lacks is a user's mistake, in one line.

    Attributes:
        unknown: keys that are not known here, which a newer version may have written.
    """

    def __init__(self, values: Mapping[str, Any], where: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(
            {
                key: Description(value, f"{where}: {key}")
                if key in NESTED and isinstance(value, Mapping)
                else value
                for key, value in values.items()
            }
        )
        self.where, self.unknown = where, tuple(unknown)

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"{self.where} lacks {key!r}, which this segtrace needs; was it written by another "
            "version?"
        )


def understood(found: Any, path: Path) -> Description:
    """The description of a checkpoint, each value of the kind it must be.

    Args:
        found: as it came out of the file.
        path: of the file.

    Raises:
        InputError: a newer format, or a value of another kind.
    """
    values = plain(found, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: it describes itself by a {type(found).__name__}, not a dict")
    number = values.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise InputError(
            f"{path} has format {number}, written by segtrace {values.get('version', 'unknown')}; "
            f"this one reads 1 to {FORMAT}: update segtrace"
        )
    unknown = [".".join(map(str, place)) for place in _dropped(values, path)]
    if "network" in values:
        values["network"] = _network(values["network"])
    return Description(values, str(path), unknown)


def _dropped(values: dict[str, Any], path: Path) -> list[tuple[int | str, ...]]:
    """Take out what has an unknown key, and say where it was.

    Raises:
        InputError: a value of another kind than its key asks for.
    """
    try:
        KEYS.validate_python(values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        places = [one["loc"] for one in wrong if one["type"] == "extra_forbidden"]
        if len(places) < len(wrong):
            first = next(one for one in wrong if one["type"] != "extra_forbidden")
            value = first["input"]
            given = f" is {printable(repr(value), 80)}" if isinstance(value, SHORT) else ""
            why = first["msg"].removeprefix("Value error, ")
            at = printable(".".join(map(str, first["loc"])), 80) or "description"
            raise InputError(f"{path}: {at}{given}: {why}; no checkpoint of train.py") from error
        for place in places:
            _drop(values, place)
        return places + _dropped(values, path)  # what was beside them is not yet held together
    return []


def _drop(values: Any, place: tuple[int | str, ...]) -> None:
    for part in place[:-1]:
        values = values[part]
    del values[place[-1]]


def _network(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of today's format, whatever the one in the file; nothing is looked up elsewhere."""
    if BEFORE not in recipe or KNOWN in recipe or FOREIGN in recipe:
        return recipe
    rest = {name: value for name, value in recipe.items() if name != BEFORE}
    path = str(recipe[BEFORE])
    key = table.PATHS.get(path)
    return {FOREIGN: path, **rest} if key is None else {KNOWN: key, **rest}
