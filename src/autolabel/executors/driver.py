"""Distribute tasks to workers that may die, for all executors with external workers."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from autolabel.errors import WorkerError
from autolabel.executors.executor import Crash, Emit
from autolabel.executors.messages import Death, Event, Message, Ready, Result, TaskError

_log = logging.getLogger(__name__)

ATTEMPTS = 3
"""The number of workers that a task may kill before it is given up."""


@dataclass(slots=True, eq=False)
class Worker:
    """A worker as seen by the driver: its device, whether it has started, its current task."""

    device: str
    ready: bool = False
    busy: bool = False
    task: Any = None


_W = TypeVar("_W", bound=Worker)


class _Pool(Protocol[_W]):
    """Starts workers and exchanges messages with them."""

    def start(self, running: Sequence[_W], wanted: int) -> Sequence[_W]:
        """Start workers if there is room, at most ``wanted`` in all."""
        ...

    def send(self, worker: _W, task: Any) -> None:
        """Send a task to a ready worker; a dead worker is reported by ``poll``."""
        ...

    def poll(self, workers: Sequence[_W]) -> Sequence[tuple[_W, Message]]:
        """Wait briefly for messages; return them with their workers."""
        ...

    def stop(self, workers: Sequence[_W]) -> None:
        """End all workers at once."""
        ...


def drive(pool: _Pool[_W], tasks: Sequence[Any], *, emit: Emit) -> Iterator[tuple[Any, Any]]:
    """Yield (task, result or Crash) in order of completion, surviving worker deaths.

    The next task goes to any free worker. A task whose worker died is sent again before all others, and becomes a Crash
    when it has killed ``ATTEMPTS`` workers. Raises the exception of a task, and WorkerError if workers die before they
    have started.
    """
    todo = deque(tasks)
    deaths: Counter[Any] = Counter()
    startup_failures = 0
    workers: list[_W] = []
    try:
        while todo or any(worker.busy for worker in workers):
            waiting = sum(not worker.busy for worker in workers)
            workers += pool.start(workers, max(0, len(todo) - waiting))
            _deal(pool, workers, todo)
            for worker, message in pool.poll(workers):
                match message:
                    case Ready():
                        worker.ready, startup_failures = True, 0
                    case Event(contents):
                        for content in contents:
                            emit(content)
                    case Result(content):
                        worker.busy, startup_failures = False, 0
                        yield worker.task, content
                    case TaskError(error):
                        raise error
                    case Death(cause):
                        workers.remove(worker)
                        if worker.busy:
                            yield from _requeue(worker, cause, todo, deaths)
                        elif not worker.ready:
                            startup_failures += 1
                            _check_startup(worker, cause, startup_failures, most=ATTEMPTS + len(workers))
    finally:
        pool.stop(workers)


def _deal(pool: _Pool[_W], workers: Sequence[_W], todo: deque[Any]) -> None:
    """Send a task to every free worker."""
    for worker in workers:
        if todo and worker.ready and not worker.busy:
            worker.task, worker.busy = todo.popleft(), True
            pool.send(worker, worker.task)


def _requeue(worker: Worker, cause: str, todo: deque[Any], deaths: Counter[Any]) -> Iterator[tuple[Any, Crash]]:
    """Put a dead worker's task back in front, or give it up after too many deaths."""
    deaths[worker.task] += 1
    _log.warning("%s; task %s, death %d of %d", cause, worker.task, deaths[worker.task], ATTEMPTS)
    if deaths[worker.task] >= ATTEMPTS:
        yield worker.task, Crash(cause)
    else:
        todo.appendleft(worker.task)


def _check_startup(worker: Worker, cause: str, startup_failures: int, *, most: int) -> None:
    """Raise WorkerError if too many workers in a row died before they had started."""
    _log.warning("%s before it had started", cause)
    if startup_failures >= most:
        raise WorkerError(
            f"{startup_failures} workers died while they started; the last: {cause}",
            hint="a process that is killed (-9) often had too little memory; try fewer workers",
        )
