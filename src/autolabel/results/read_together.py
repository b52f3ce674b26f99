"""Let several readers share one walk over rows, so that each row is decoded once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import TypeVar

from autolabel.data.batches import batches
from autolabel.types import Labels

_Own = TypeVar("_Own")
_T = TypeVar("_T")

_AT_ONCE = 64
"""Rows that are handed over together."""
_AHEAD = 2
"""Batches that wait for a reader before the walk waits for it."""


def read_together(
    rows: Iterable[Labels],
    readers: Sequence[Callable[[Iterable[Labels]], _T]],
    own: Callable[[Iterable[Labels]], _Own],
) -> tuple[_Own, list[_T]]:
    """Return what ``own`` and each reader make of ``rows``, which are walked once for all of them.

    Each reader runs in a thread of its own, at the pace of the slowest, so that memory does not grow with the rows. It
    may iterate its rows more than once: what it has only begun starts again, and every further iteration is a walk of
    its own. Raises the exception of ``own``, then that of the first reader that fails; the others are done by then.
    """
    views = [_SharedRows(rows) for _ in readers]
    with ThreadPoolExecutor(max(1, len(readers)), thread_name_prefix="reader") as pool:
        futures = [pool.submit(_read, reader, view) for reader, view in zip(readers, views, strict=True)]
        feed = _feeding(rows, views)
        try:
            made = own(feed)
            deque(feed, maxlen=0)  # where it has stopped, the readers go on
        except BaseException as error:
            for view in views:
                view.close(error)
            raise
        return made, [future.result() for future in futures]


def _feeding(rows: Iterable[Labels], views: Sequence[_SharedRows]) -> Iterator[Labels]:
    """Yield rows while giving them to the views, once every reader asks for rows or has ended."""
    for view in views:
        view.wait()
    for batch in batches(rows, _AT_ONCE):
        for view in views:
            view.give(batch)
        yield from batch
    for view in views:
        view.close()


def _read(reader: Callable[[Iterable[Labels]], _T], view: _SharedRows) -> _T:
    try:
        return reader(view)
    finally:
        view.leave()


class _SharedRows:
    """The rows as one reader sees them; the walk gives, the reader takes."""

    def __init__(self, rows: Iterable[Labels]) -> None:
        self.rows = rows
        self.changed = Condition()
        self.waiting: deque[Sequence[Labels]] = deque()
        self.asked = self.closed = self.left = False
        self.fault: BaseException | None = None
        self.first: Sequence[Labels] | None = None
        """The first batch, for an iteration that starts again; None once there was a second one."""
        self.begun = self.shares = False
        """Whether a batch was taken; whether an iteration shares the walk now."""

    def __iter__(self) -> Iterator[Labels]:
        if self.shares or (self.begun and self.first is None):
            yield from self.rows
            return
        self.shares = True
        try:
            yield from self.first or ()
            while batch := self._take():
                self.first, self.begun = None if self.begun else batch, True
                yield from batch
        finally:
            self.shares = False
            if self.begun and self.first is None:
                self.leave()

    def _take(self) -> Sequence[Labels]:
        """Return the next batch, empty after the last; raises what has ended the walk."""
        with self.changed:
            self.asked = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.waiting or self.closed)
            if self.fault is not None:
                raise self.fault
            return self.waiting.popleft() if self.waiting else ()

    def wait(self) -> None:
        """Wait until the reader asks for rows, or takes none."""
        with self.changed:
            self.changed.wait_for(lambda: self.asked or self.left)

    def give(self, batch: Sequence[Labels]) -> None:
        """Hand over a batch, unless the reader takes no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.left or len(self.waiting) < _AHEAD)
            if not self.left:
                self.waiting.append(batch)
                self.changed.notify_all()

    def close(self, fault: BaseException | None = None) -> None:
        """Say that no more rows come, and why not."""
        with self.changed:
            self.closed, self.fault = True, self.fault or fault
            self.changed.notify_all()

    def leave(self) -> None:
        """Take no more rows."""
        with self.changed:
            self.left = True
            self.waiting.clear()
            self.changed.notify_all()
