"""Compile loops with numba (the extra ``fast``)."""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any


def compiled(signature: str, *, fastmath: Set[str] = frozenset()) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for one signature, holding no lock while it runs.

    The result is kept for the machine, or for the process where no folder for it can be written. Raises ImportError
    without numba.
    """
    import numba

    def decorate(function: Callable[..., Any]) -> Any:
        options: dict[str, Any] = {"nogil": True, "fastmath": set(fastmath)}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(signature, **options)(function)

    return decorate
