"""One safe file name for every name: of an organ, a stage, a rule, a case, a file of the user's.

Names come out of checkpoints, label files and folders, and become files, folders, entries of an
archive and tags. Whatever a name holds, what is made of it stays where it was put.
"""

import hashlib
import unicodedata
from collections.abc import Iterable

from segtrace.errors import InputError, printable

SIGNS = " _-.,+()=@"
"""Signs that may stand in a file name, beside letters, digits and their accents."""
RESERVED = {
    "con", "prn", "aux", "nul", "conin$", "conout$",
    *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)),
}  # fmt: skip
"""Names that Windows takes for devices, with any ending."""
LONGEST = 100
"""Bytes of a name that is kept as it is: with a prefix and an ending it still fits 255."""
KEPT = 48
"""Letters that are kept of a name which cannot stay as it is."""
DIGITS = 10
"""Hexadecimal digits that then tell it from all others."""

CONFIG = "config.yaml"
"""The options of a run, in its folder."""
LOCK = ".lock"
"""Held by the process that writes there."""
LIGHTNING = ("pytorch_lightning", "lightning.pytorch")
"""The names under which Lightning is published, and its loggers write."""


def file_name(name: str, among: Iterable[str] = ()) -> str:
    """A file name, without an ending, that belongs to this name alone.

    A harmless name stays as it is. Any other keeps what is harmless of it and gets a hash: one
    with a slash, a control code, a tilde, a dot or a dash in front, an empty one, a device's.

    Args:
        name: any text.
        among: the names beside which it will lie. Where one of them differs in case alone, both
            get their hash: some file systems take the two for one.

    >>> file_name("left_kidney"), file_name("../../x")
    ('left_kidney', '______x~9cdf6a5010')
    >>> file_name("Liver"), file_name("Liver", among=["Liver", "liver"])
    ('Liver', 'Liver~f4ed8b7ee1')
    """
    kept = _harmless(name)
    if kept == name and not any(_twins(name, other) for other in among):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    return f"{kept[:KEPT]}~{digest}"


def check_shown(kind: str, names: Iterable[str]) -> None:
    """Refuse names that a terminal would not show as they are.

    Raises:
        InputError: one with control codes.
    """
    for name in names:
        if isinstance(name, str) and printable(name) != name:
            raise InputError(
                f"{kind} {name!r} holds control codes; rename it with letters and digits alone"
            )


def _harmless(name: str) -> str:
    """The name with `_` in the place of what could do harm; equal to it where nothing could."""
    composed = unicodedata.normalize("NFC", name).replace("..", "__")
    letters = "".join(map(_letter, composed))
    if len(letters.encode()) > LONGEST:
        letters = letters[:KEPT]
    begins = letters.lstrip(" .-")
    ends = begins.rstrip(" .")
    whole = "_" * (len(letters) - len(begins)) + ends + "_" * (len(begins) - len(ends))
    device = whole.split(".")[0].rstrip().casefold() in RESERVED
    return f"_{whole}" if device or not whole else whole


def _letter(letter: str) -> str:
    accent = unicodedata.category(letter).startswith("M")
    return letter if letter.isalnum() or accent or letter in SIGNS else "_"


def _twins(name: str, other: str) -> bool:
    """Both harmless, different, and the same where case does not count."""
    return other != name and _harmless(other) == other and _folded(name) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
