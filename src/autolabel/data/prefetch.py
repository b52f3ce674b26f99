"""Process items ahead in threads, in order, with limits on their number and total weight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def prefetch(
    work: Callable[[_T], _R],
    items: Iterable[_T],
    *,
    threads: int,
    ahead: int,
    weight: Callable[[_T], int] | None = None,
    most: int = 0,
) -> Iterator[_R]:
    """Yield ``work(item)`` for every item in order, at most ``ahead`` of them in flight or waiting.

    With ``weight``, the items in flight or waiting weigh at most ``most`` together, or there is only one. An exception
    of ``work`` is raised in place of its result.
    """
    weigh = weight or (lambda item: 0)
    flying: deque[tuple[Future[_R], int]] = deque()
    total = 0
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="decode") as pool:
        try:
            for item in items:
                heavy = weigh(item)
                while flying and total + heavy > most and weight is not None:
                    first, light = flying.popleft()
                    yield first.result()
                    total -= light
                flying.append((pool.submit(work, item), heavy))
                total += heavy
                if len(flying) >= max(1, ahead):
                    first, light = flying.popleft()
                    yield first.result()
                    total -= light
            while flying:
                yield flying.popleft()[0].result()
        finally:
            for future, _ in flying:
                future.cancel()
