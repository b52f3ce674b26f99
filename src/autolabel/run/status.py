"""How far a run is, read from its results directory without disturbing it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autolabel.errors import DataError
from autolabel.run import record
from autolabel.run.store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is on disk: rows by stage, states of the last stage begun, speed of late."""

    digest: str
    rows: int
    stages: dict[str, str]
    """Rows labelled of all, by stage."""
    states: dict[str, int]
    finished: bool
    rows_per_second: float | None
    seconds_left: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def read_status(run: Path) -> Status:
    """Read how far a run is; raises DataError where ``run`` holds no plan."""
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None:
        raise DataError(f"{run}: no plan.json here", hint="name the results_dir of a run that has started")
    stages, states, left = {}, Counter[str](), 0
    times: list[tuple[float, int]] = []
    for stage in plan.stages:
        missing = {shard.index for shard in store.missing(plan, stage)}
        done = [shard for shard in plan.shards if shard.index not in missing]
        stages[stage.name] = f"{sum(shard.rows for shard in done):,} of {plan.rows:,}"
        left += plan.rows - sum(shard.rows for shard in done)
        if done:
            paths = [store.shard(stage, shard.index) for shard in done]
            states = Counter(record.outline(line).state for shard in done for line in store.lines(stage, shard.index))
            times += [(path.stat().st_mtime, shard.rows) for path, shard in zip(paths, done, strict=True)]
    rate = speed(times)
    return Status(
        digest=plan.digest,
        rows=plan.rows,
        stages=stages,
        states=dict(sorted(states.items())),
        finished=store.labels.exists() and not left,
        rows_per_second=rate,
        seconds_left=left / rate if rate else None,
    )


def speed(times: list[tuple[float, int]], latest: int = 20) -> float | None:
    """Return rows a second over the shards published last; None before two of them are there."""
    times = sorted(times)[-latest:]
    if len(times) < 2 or times[-1][0] <= times[0][0]:
        return None
    return sum(rows for _, rows in times[1:]) / (times[-1][0] - times[0][0])
