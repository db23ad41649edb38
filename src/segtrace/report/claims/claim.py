"""A sentence with the numbers it rests on; a claim, if it passed its tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from segtrace.measures.significance import ALPHA, RATE

FOUND = 0.5
"""The least Dice of an organ that is called found; of maps of others nothing is claimed."""
USUAL_PLACE = "its prediction fits other cases as well as its own, as its usual place alone would"
"""Why nothing is claimed of an organ that the network finds."""


@dataclass(frozen=True)
class Claim:
    """What terminal, logger, page and captions say, made from labelled numbers.

    Attributes:
        kind: the file that makes it: ``headline``, ``leak``, ``route``, ``verdict``, …
        words: plain text.
        numbers: label -> value, of all that the words rest on.
        tests: what it passed. Without any it is no claim, and the words say so, or that nothing
            was found.
        about: the slices and cases that it speaks of.
    """

    kind: str
    words: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    about: str = ""

    @property
    def holds(self) -> bool:
        """It passed tests that nothing passes in at most 5 % of texts."""
        return bool(self.tests)

    def __str__(self) -> str:
        return self.words


def told(claims: Iterable[Claim]) -> list[str]:
    """What a text prints: the words, and what :func:`passed` adds."""
    found = list(claims)
    return [*map(str, found), *passed(found)]


def passed(claims: Iterable[Claim]) -> list[str]:
    """What those that hold have passed, and how often nothing does; nothing where none holds.

    Tests that are all among those of another claim are not named twice.
    """
    tests = dict.fromkeys(claim.tests for claim in claims if claim.holds)
    most = [own for own in tests if not any(set(own) < set(other) for other in tests)]
    said = [f"Claims here passed: {'; '.join(own)}." for own in most]
    return [*said, RATE] if said else []


def corrected(tests: int, over: str = "cases", where: str = "above what it is held against") -> str:
    """The test that a claim passed, in words."""
    return (
        f"{where} in {1 - ALPHA:.0%} of sign flips over {over}, corrected for "
        f"{tests} {'test' if tests == 1 else 'tests'}"
    ).replace("%", " %", 1)


def number(value: float, digits: int = 2) -> str:
    """With so many digits, and no minus before 0."""
    return f"{round(float(value), digits) + 0.0:.{digits}f}"


def percent(share: float) -> str:
    """Of a whole, as text.

    >>> percent(0.123), percent(0.0012), percent(0.0)
    ('12 %', 'below 1 %', '0 %')
    """
    return "below 1 %" if 0 < share < 0.005 else f"{share * 100:.0f} %"


def all_of(count: int, what: str) -> str:
    """So many things, which are all there are.

    >>> all_of(2, "organs"), all_of(3, "organs")
    ('both organs', 'all 3 organs')
    """
    return f"both {what}" if count == 2 else f"all {count} {what}"


def listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
