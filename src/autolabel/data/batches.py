"""Cut a stream into lists of equal length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield lists of ``size`` items, the last one with the rest; does not read ahead."""
    source = iter(items)
    while batch := list(islice(source, size)):
        yield batch
