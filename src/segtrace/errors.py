"""The one error a user can cause, and how it names what was allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A user's mistake: the value, where it stood, what was allowed, what to do.

    The scripts print it as one line and exit with code 1; any other exception is a defect of ours
    and keeps its traceback.
    """


def unknown(kind: str, name: object, allowed: Iterable[object], where: str = "") -> InputError:
    """The error for a name that does not exist, with the nearest names that do.

    Args:
        kind: what the name stands for, e.g. ``"stage"``.
        name: the name that was given.
        allowed: every name that would have been right.
        where: what holds the allowed names, e.g. ``"this network"``; may be empty.

    >>> print(unknown("stage", "enc6", ["enc1", "enc5", "head"], "this network"))
    no stage 'enc6'; this network has enc1, enc5, head; did you mean enc5, enc1?
    """
    names = [str(a) for a in allowed]
    nearest = get_close_matches(str(name), names, n=2)
    hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
    return InputError(
        f"no {kind} {name!r}; {where or 'allowed'} {'has' if where else 'are'} "
        f"{', '.join(names) or 'none'}{hint}"
    )
