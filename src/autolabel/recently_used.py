"""Values that were used last, as far as a number of bytes allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_V = TypeVar("_V")


class RecentlyUsed(Generic[_V]):
    """Keeps values up to ``most`` bytes, and the newest one however large it is; threads may share it."""

    def __init__(self, most: int, *, size_of: Callable[[_V], int]) -> None:
        self._most, self._size_of, self._bytes, self._lock = most, size_of, 0, Lock()
        self._kept: OrderedDict[Hashable, _V] = OrderedDict()

    def get(self, key: Hashable) -> _V | None:
        """Return the value of a key; None if it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def keep(self, key: Hashable, value: _V) -> None:
        """Keep a value, unless one of the same key is kept; those that were used least recently make room."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value
            self._bytes += self._size_of(value)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._size_of(self._kept.popitem(last=False)[1])
