"""The progress of a run, read from its results directory without taking its lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import asdict, dataclass
from typing import Any

from autolabel.errors import DataError
from autolabel.plan.model import PROVEN, Plan, Shard, Stage
from autolabel.results import record
from autolabel.results.ledger import ledger_fault
from autolabel.results.lock import Holder, holder, taken
from autolabel.results.ownership import LOCK
from autolabel.results.shard_file import DamageError
from autolabel.results.slices import Slice, cut_last
from autolabel.results.store import LABELS, STAGES, RunStore
from autolabel.results.written import planned_outputs, standing
from autolabel.storage import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceStatus:
    """The progress of one slice, and its process; None if it is not running."""

    slice: str
    rows: int
    stages: dict[str, int]
    """Rows labelled, by stage."""
    running: Holder | None

    @property
    def done(self) -> bool:
        """Whether all stages have labelled all rows."""
        return all(count == self.rows for count in self.stages.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state on disk: rows by stage, states in the last started stage, recent speed."""

    digest: str
    rows: int
    stages: dict[str, str]
    """Rows labelled of all, by stage."""
    damaged: tuple[str, ...]
    """Damaged files with their faults; their shards do not count as labelled."""
    states: dict[str, int]
    finished: bool
    """Whether all rows are labelled and all outputs of the plan are written."""
    outputs: dict[str, bool]
    """Whether each export, the pictures and the report are up to date; empty until all rows are labelled."""
    running: Holder | None
    """The process that holds the whole directory; None if there is none, or slices run."""
    slices: tuple[SliceStatus, ...]
    """The slices; empty if the run is finished or has no slices."""
    rows_per_second: float | None
    """The speed of the last stage begun, from the latest shards; None before two are published."""
    seconds_left: float | None
    """The forecast at the speed of each stage, or of the stage before; None without any speed."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def read_status(run: Location) -> Status:
    """Read the progress of a run; raises DataError if ``run`` holds no plan."""
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None:
        raise DataError(f"{run}: no plan.json here", hint="name the results_dir of a run that has started")
    stages, states, left = {}, Counter[str](), 0
    damaged: list[str] = []
    published: dict[str, set[int]] = {}
    seconds: list[float | None] = []
    rate = None
    for stage in plan.recipe.stages:
        published_shards = store.published(stage)
        done, lines = _whole_shards(store, plan, stage, published_shards, damaged)
        published[stage.name] = {shard.index for shard in done}
        stages[stage.name] = f"{sum(shard.rows for shard in done):,} of {plan.manifest.rows:,}"
        todo = plan.manifest.rows - sum(shard.rows for shard in done)
        left += todo
        if done:
            states = lines
            times = [(published_shards[store.shard(stage, shard.index).name].modified, shard.rows) for shard in done]
            rate = speed(times, since=_begun(store))
        if todo:
            seconds.append(todo / rate if rate else None)
    outputs = {} if left else standing(store, plan)
    try:
        store.check_inputs(plan)
    except DataError as error:
        damaged.append(error.message.removeprefix(f"{store.root}/"))
    finished = store.labels.exists() and not left and all(outputs[name] for name in planned_outputs(plan))
    if finished and (fault := ledger_fault(store.labels, proven=plan.version >= PROVEN)):
        damaged.append(f"{LABELS}: {fault}")
    return Status(
        digest=plan.digest,
        rows=plan.manifest.rows,
        stages=stages,
        states=dict(sorted(states.items())),
        damaged=tuple(damaged),
        finished=finished and not damaged,
        outputs=outputs,
        running=holder(store.root / LOCK),
        slices=() if finished else tuple(_part_of(store, plan, part, published) for part in cut_last(store)),
        rows_per_second=rate,
        seconds_left=None if None in seconds else sum(filter(None, seconds)),
    )


def _whole_shards(
    store: RunStore, plan: Plan, stage: Stage, published_shards: Container[str], damaged: list[str]
) -> tuple[list[Shard], Counter[str]]:
    """Return the intact shards of a stage with the states of their rows, noting damaged ones."""
    shards = [shard for shard in plan.manifest.shards if store.shard(stage, shard.index).name in published_shards]
    done, states = [], Counter[str]()
    for shard, outcome in store.checked(plan, stage, shards):
        if isinstance(outcome, DamageError):
            damaged.append(f"{STAGES}/{stage.name}/{store.shard(stage, shard.index).name}: {outcome}")
            continue
        try:
            states.update([record.decode_head(line).state for line in outcome])
            done.append(shard)
        except record.RowError as error:
            damaged.append(f"{STAGES}/{stage.name}/{store.shard(stage, shard.index).name}: {error}")
    return done, states


def _part_of(store: RunStore, plan: Plan, part: Slice, published: dict[str, set[int]]) -> SliceStatus:
    """Return the progress of a slice; ``published`` are the existing shards, by stage."""
    shards = part.of(plan)
    return SliceStatus(
        slice=str(part),
        rows=sum(shard.rows for shard in shards),
        stages={
            name: sum(shard.rows for shard in shards if shard.index in published_shards)
            for name, published_shards in published.items()
        },
        running=holder(store.root / part.lock),
    )


def _begun(store: RunStore) -> float:
    """Return the start of the latest run, because the time between runs does not count for speed."""
    return taken(store.root / LOCK)


def speed(times: list[tuple[float, int]], *, since: float, latest: int = 20) -> float | None:
    """Return rows per second over the last published shards; None with fewer than two.

    If fewer than two are of the latest run, shards of earlier runs count too.
    """
    recent = [one for one in times if one[0] >= since]
    times = sorted(recent if len(recent) >= 2 else times)[-latest:]
    if len(times) < 2 or times[-1][0] <= times[0][0]:
        return None
    return sum(rows for _, rows in times[1:]) / (times[-1][0] - times[0][0])
