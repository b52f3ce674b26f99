"""Run every task in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autolabel.executors.executor import Emit, Start
from autolabel.executors.tuning import torch_threads


@dataclass(frozen=True, slots=True)
class Inline:
    """One worker, which is this process."""

    device: str
    threads: int

    def map(self, tasks: Sequence[Any], start: Start, *, emit: Emit) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result) in order."""
        if not tasks:
            return
        work = start(self.device, emit)
        for task in tasks:
            with torch_threads(self.threads):
                result = work(task)
            yield task, result
