"""Work done after somebody has pressed Ctrl-C, which he may press again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def once_more_leaves(exception: BaseException) -> Iterator[None]:
    """Inside the block Ctrl-C ends the block; Lightning has turned it off by then.

    Args:
        exception: the first one; where it would be sent again until somebody heeds it, this does.
    """
    getattr(exception, "heed", lambda: None)()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
