"""Handle errors of libraries written in Rust, whose panics are not Exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Convert a panic, which ``except Exception`` does not catch, to a RuntimeError."""
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as panic:
        raise RuntimeError(first_line(panic)) from panic


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
