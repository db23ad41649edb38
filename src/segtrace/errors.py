"""The one error a user can cause, how it names what was allowed, and where it is raised."""

import errno
import inspect
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar
from unicodedata import category

Given = ParamSpec("Given")
Result = TypeVar("Result")
Guard = Callable[[str, Any], Any]
"""(name, value of an argument); raises :class:`InputError` where it cannot be that argument.

What it returns is read in the place of the value; ``None`` leaves the value as it is.
"""
LONGEST = 4000
"""Letters of a message: enough for a list of modules, and no file fills the screen."""
BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
"""What begins another line, or leaves room for one."""
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction in which what follows is shown."""


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Text of unknown origin as one line that a terminal only shows.

    Line breaks and tabs become spaces. Codes that move the cursor or colour the screen, marks that
    turn the direction of writing, and halves of letters are spelled out.

    Args:
        text: anything; its ``str`` is taken.
        longest: of what is longer the middle is left out.

    >>> print(printable("liver\x1b[31m\nred"))
    liver\x1b[31m red
    """
    line = str(text)
    if len(line) > longest:
        half = longest // 2
        line = f"{line[:half]} … {line[-half:]}"
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(letter: str) -> str:
    if letter in BREAKS:
        return " "
    if category(letter) not in ("Cc", "Cs") and letter not in TURNING:
        return letter
    return letter.encode("unicode_escape", "backslashreplace").decode("ascii")


class InputError(ValueError):
    """A user's mistake: the value, where it stood, what was allowed, what to do.

    The scripts print it as one line and exit with code 1; any other exception is a defect of ours
    and keeps its traceback. A message may quote a file: it is made :func:`printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UsersCodeError(InputError):
    """Code of the user's own raised: what was called, and the exception's type and words.

    The scripts keep the traceback of its cause in a file.
    """

    def __init__(self, called: str, error: BaseException) -> None:
        words = printable(error, 300).strip().rstrip(".!")
        super().__init__(f"{called} raised {type(error).__name__}{words and f': {words}'}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Of its words alone, which is all that another process need know."""
        return InputError, self.args


class BrokenOffError(InputError):
    """A run that had begun cannot go on as it is: its folder stays, and what to do is said."""


@contextmanager
def users_code(called: str) -> Iterator[None]:
    """Around a call of the user's code, and that alone.

    Args:
        called: what runs, as the user named it.

    Raises:
        UsersCodeError: whatever it raises; a script that is imported may end itself.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise UsersCodeError(called, error) from error


NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch says that there is none left: on a GPU, on Linux and macOS, on Windows."""
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


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether there is no memory left, of the machine or of its GPU; torch says so in words."""
    by_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    return isinstance(error, MemoryError) or by_torch


def unknown(
    kind: str,
    name: object,
    allowed: Iterable[object],
    where: str = "",
    nearest: Sequence[str] = (),
) -> InputError:
    """The error for a name that does not exist, with the nearest names that do.

    Args:
        kind: what the name stands for, e.g. ``"stage"``.
        name: the name that was given.
        allowed: every name that would have been right.
        where: what holds the allowed names, e.g. ``"this network"``; may be empty.
        nearest: what was likely meant, where that is known; else what is spelled alike.

    >>> print(unknown("stage", "enc6", ["enc1", "enc5", "head"], "this network"))
    no stage 'enc6'; this network has enc1, enc5, head; did you mean enc5, enc1?
    >>> print(unknown("region", "gtt", ["gt", "gts"]))
    no region 'gtt'; allowed are gt, gts
    """
    names = [str(a) for a in allowed]
    nearest = nearest or get_close_matches(str(name), names, n=2)
    told = len(names) > 1 and set(names) <= set(nearest)  # the same list twice
    hint = f"; did you mean {', '.join(nearest)}?" if nearest and not told else ""
    return InputError(
        f"no {kind} {name!r}; {where or 'allowed'} {'has' if where else 'are'} "
        f"{', '.join(names) or 'none'}{hint}"
    )


def wrong(name: str, value: object, allowed: str) -> InputError:
    """The error for a value that cannot stand where it was given.

    >>> print(wrong("steps", True, "a whole number from 1, e.g. 16"))
    steps is True; give a whole number from 1, e.g. 16
    """
    return InputError(f"{name} is {shown(value)}; give {allowed}")


def shown(value: object) -> str:
    """A value as a message can show it: short, on one line; of arrays the shape.

    >>> shown("enc1"), shown(list(range(99)))
    ("'enc1'", '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1…')
    """
    if (shape := getattr(value, "shape", None)) is not None and hasattr(value, "dtype"):
        return f"a {type(value).__name__} of shape {tuple(shape)}, {value.dtype}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:52]}…"


def _own(value: Any) -> Any:
    """Whole numbers of another library as Python's, alone, in a tuple, a list or a mapping."""
    if isinstance(value, Integral) and not isinstance(value, int):
        return int(value)
    if type(value) in (list, tuple) and any(one is not _own(one) for one in value):
        return type(value)(map(_own, value))
    if type(value) is dict and any(one is not _own(one) for one in value.values()):
        return {key: _own(one) for key, one in value.items()}
    return value


def guarded(
    guards: Mapping[str, Guard],
    together: Callable[[Mapping[str, Any]], None] | None = None,
    of: Callable[[Mapping[str, Any]], str] = lambda _given: "",
) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Hold the arguments of a function against what they may be, before it begins.

    Whole numbers of numpy are handed on as Python's, for torch does not take them everywhere.

    Args:
        guards: name of an argument -> what it must pass; one table can serve many functions.
        together: what several of the arguments must pass; it gets those that were given, by name.
        of: what the arguments are of, in messages; from those that were given.
    """

    def guard(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature = inspect.signature(function)
        mine = {name: guards[name] for name in signature.parameters if name in guards}

        @wraps(function)
        def held(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            given = bound.arguments
            for name, check in mine.items():
                if name in given:
                    read = check(f"{name}{of(given)}", given[name])
                    given[name] = _own(given[name] if read is None else read)
            if together is not None:
                together(given)
            call: Any = function  # the same arguments, some of them read
            result: Result = call(*bound.args, **bound.kwargs)
            return result

        return held

    return guard


@contextmanager
def warned_if_done() -> Iterator[None]:
    """Warnings of the block are told once it is done; where it is refused, the reason is enough."""
    with warnings.catch_warnings(record=True) as heard:
        yield
    for one in heard:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
