"""Standard output that nobody reads any more, or that has no room, ends no run."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Lasting:
    """A stream that falls silent when it can no longer be written: results are in files.

    Args:
        stream: with a file descriptor.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """The letters of the text, whether or not they could be written."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._fall_silent(error)
        return len(text)

    def flush(self) -> None:
        """See :class:`Lasting`."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fall_silent(error)

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own."""
        return getattr(self._stream, name)

    def _fall_silent(self, error: OSError) -> None:
        """Let what is still held go nowhere; a reader that left needs no word."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                print(
                    f"standard output cannot be written ({error.strerror}): the run goes on "
                    "without, its results are in files",
                    file=sys.stderr,
                    flush=True,
                )


def lasting_output() -> None:
    """Let nothing that is printed end the script."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        sys.stdout = Lasting(sys.stdout)
