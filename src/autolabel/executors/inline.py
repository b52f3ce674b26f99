"""Run every task in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autolabel.executors.executor import Emit, Start
from autolabel.executors.memory import settle_memory
from autolabel.executors.threads import limit_threads


@dataclass(frozen=True, slots=True)
class Inline:
    """One worker, which is this process."""

    device: str
    threads: int

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result) in order."""
        if not tasks:
            return
        limit_threads(self.threads)
        settle_memory()
        work = start(self.device, emit)
        for task in tasks:
            yield task, work(task)
