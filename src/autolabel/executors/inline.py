"""Run every task in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from autolabel.executors.executor import Emit, Start
from autolabel.executors.threads import limit_threads


class Inline:
    """One worker, which is this process."""

    def map(
        self, tasks: Sequence[Any], start: Start, *, devices: Sequence[str], threads: int, emit: Emit
    ) -> Iterator[tuple[Any, Any]]:
        """Yield (task, result) in order, on the first device."""
        if not tasks:
            return
        limit_threads(threads)
        work = start(devices[0], emit)
        for task in tasks:
            yield task, work(task)
