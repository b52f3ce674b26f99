"""Compile loops with numba (the extra ``fast``)."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any


def compiled(signature: str, *, fastmath: Set[str] = frozenset()) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for one signature; the compiled function releases the GIL.

    The compiled code is cached on disk, or per process if no cache folder is writable. Raises ImportError without
    numba.
    """
    import numba

    def decorate(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {"nogil": True, "fastmath": set(fastmath)}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(signature, **options)(function)

    return decorate
