"""The interface of executors: run tasks on workers, each started once on its device."""

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
    """Runs tasks somewhere; knows nothing of labels."""

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result or Crash) in order of completion.

        ``emit`` receives what workers report while they work. An exception that a task raises ends the map and is
        raised here. Closing the iterator stops all workers at once; what they were doing is lost.
        """
        ...
