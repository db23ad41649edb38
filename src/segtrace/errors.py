"""The one error a user can cause, and how it names what was allowed."""

import errno
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A user's mistake: the value, where it stood, what was allowed, what to do.

    The scripts print it as one line and exit with code 1; any other exception is a defect of ours
    and keeps its traceback.
    """


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk that was good for writing before."""


def why(error: OSError) -> str:
    """The system's reason in words.

    >>> why(OSError(errno.EACCES, "Permission denied")), why(OSError("8 requested and 0 written"))
    ('Permission denied', 'No space left on device')
    """
    if is_full(error) and not error.strerror:
        return os.strerror(errno.ENOSPC)
    return error.strerror or str(error) or type(error).__name__


def is_full(error: BaseException | None) -> bool:
    """Whether there is no room left to write; numpy says so without the system's number."""
    if not isinstance(error, OSError):
        return False
    return error.errno in FULL or bool(re.fullmatch(r"\d+ requested and \d+ written", str(error)))


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
