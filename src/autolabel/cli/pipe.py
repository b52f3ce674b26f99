"""Ends quietly where whoever reads the output has seen enough, as in ``autolabel ... | head``."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_quietly() -> Iterator[None]:
    """Let the process end by SIGPIPE, as other tools do, once it writes to a pipe that nobody reads.

    Python ignores that signal, for the sake of sockets; click and rich turn the error that is raised instead into an
    exit code of 1.
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
    """Return whether a pipe without reader caused an error, or an exit."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return True
        error = error.__context__
    return False


def _end() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())  # what is left unwritten is of use to nobody
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
