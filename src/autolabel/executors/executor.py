"""The interface of executors, which run tasks on workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Emit = Callable[[Any], None]
Work = Callable[[Any], Any]
Start = Callable[[str, Emit], Work]
"""Called once in each worker with its device; returns what labels one task. Must pickle."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A task without a result: it killed every worker that ran it."""

    message: str


class Executor(Protocol):
    """Runs tasks on workers; each worker is started once on its device."""

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result or Crash) in order of completion.

        ``emit`` receives the workers' reports. An exception of a task ends the map and is raised here. Closing the
        iterator stops all workers at once; tasks in progress are lost.
        """
        ...
