"""Decode ahead in threads, in order, with a bounded number of images in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(work: Callable[[T], R], items: Iterable[T], *, threads: int, ahead: int) -> Iterator[R]:
    """Yield ``work(item)`` for every item in order, at most ``ahead`` of them in flight or waiting.

    An exception of ``work`` is raised where its result would have been yielded.
    """
    source = iter(items)
    flying: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode") as pool:
        try:
            for item in source:
                flying.append(pool.submit(work, item))
                if len(flying) >= max(1, ahead):
                    yield flying.popleft().result()
            while flying:
                yield flying.popleft().result()
        finally:
            for future in flying:
                future.cancel()
