"""End quietly when the reader of a pipe is gone, as in ``autolabel ... | head``."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_quietly() -> Iterator[None]:
    """End the process by SIGPIPE, as other tools do, once it writes to a pipe without a reader.

    Python ignores SIGPIPE because of sockets and raises BrokenPipeError instead, which click and rich turn into exit
    code 1.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (OSError, SystemExit) as error:
        if not _of_a_pipe(error):
            raise
        _end()


def _of_a_pipe(error: BaseException | None) -> bool:
    """Return whether a pipe without a reader caused an error or an exit."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return True
        error = error.__context__
    return False


def _end() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())  # discard the rest of the output
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
