"""What a worker process does: load a stage once, then label shard after shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autolabel.executors.executor import Emit
from autolabel.registry import discover
from autolabel.run.shard import Worker
from autolabel.run.store import RunStore
from autolabel.storage import at
from autolabel.types import Labels

Task = tuple[int, int | None]
"""(shard, None) labels and publishes a shard; (shard, row) labels one row of it and returns its line."""


@dataclass(frozen=True, slots=True)
class Done:
    """One row as progress shows it."""

    state: str
    code: str
    rounds: tuple[tuple[str, int], ...]
    """(phrase, round) of every box."""
    recalled: bool = False
    """Whether kept candidates answered all that the row asks."""


def done(row: Labels, recalled: bool) -> Done:
    """Summarise a row."""
    found = row.instances
    pairs = zip(found.labels.tolist(), found.rounds.tolist(), strict=True)
    return Done(
        row.state,
        row.reason.code if row.reason else "",
        tuple((row.prompt.phrases[label], round) for label, round in pairs),
        recalled,
    )


@dataclass(frozen=True, slots=True)
class StartStage:
    """Starts a worker on a stage of the plan in ``root``; travels to where the worker is."""

    root: str
    stage: int

    def __call__(self, device: str, emit: Emit) -> Any:
        """Make the stage's labeler and return what labels a task; weights are loaded when a task first needs them."""
        plan = RunStore(at(self.root)).read_plan()
        assert plan is not None, "the driver writes the plan before it starts workers"
        worker = Worker.make(plan, plan.stages[self.stage], device=device, registry=discover())

        def tell(row: Labels, recalled: bool) -> None:
            emit(done(row, recalled))

        def work(task: Task) -> bytes | None:
            shard, row = task
            if row is None:
                worker.label(plan.shards[shard], progress=tell)
                return None
            rows = worker.before(plan.shards[shard])[row : row + 1]
            return worker.lines(rows, progress=tell)[0]

        return work
