"""Run a compiled plan to its end, or on from where it was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from autolabel.data import inputs
from autolabel.executors.executor import Crash, Executor
from autolabel.executors.inline import Inline
from autolabel.executors.processes import Processes
from autolabel.plan.compile import Compiled
from autolabel.plan.model import Plan, Shard, Stage
from autolabel.registry import Registry
from autolabel.run import record
from autolabel.run.ledger import Ledger, write_ledger
from autolabel.run.outputs import write_outputs
from autolabel.run.settle import refuse_foreign, settle
from autolabel.run.store import RunStore, publish
from autolabel.run.summary import Summary, summarise
from autolabel.run.watch import Watch
from autolabel.run.work import StartStage
from autolabel.types import Instances, Reason


def generate(
    compiled: Compiled,
    *,
    registry: Registry,
    watch: Watch | None = None,
    fresh: bool = False,
    extend: bool = False,
) -> Summary:
    """Label everything that has no labels yet, then write the ledger and what the spec asks for besides.

    ``fresh`` starts over; ``extend`` takes in rows that were added since, and labels only those. Raises BusyError where
    the results directory is in use, or holds another plan's results and neither helps.
    """
    watch = watch or Watch()
    store = RunStore.at(compiled.plan)
    refuse_foreign(store, compiled.plan)
    with store.lock():
        plan = settle(store, compiled, fresh=fresh, extend=extend)
        for stage in plan.stages:
            run_stage(store, plan, stage, watch=watch)
        watch.writing("labels.jsonl")
        write_ledger(store, plan)
        written = [str(store.labels), *map(str, write_outputs(store, plan, registry=registry, watch=watch))]
    max_failures = plan.execution.max_failures
    return summarise(Ledger(store.labels), results_dir=str(store.root), max_failures=max_failures, written=written)


def run_stage(store: RunStore, plan: Plan, stage: Stage, *, watch: Watch) -> None:
    """Label the shards of a stage that have no file."""
    missing = store.missing(plan, stage)
    watch.stage_started(plan, stage, rows=plan.rows, left=sum(shard.rows for shard in missing))
    crashed = run_tasks(plan, stage, [(shard.index, None) for shard in missing], watch=watch)
    for (index, _), crash in crashed:
        if isinstance(crash, Crash):
            isolate(store, plan, stage, plan.shards[index], watch=watch)
    watch.stage_finished(stage)


def run_tasks(plan: Plan, stage: Stage, tasks: Sequence[Any], *, watch: Watch) -> list[tuple[Any, Any]]:
    """Run tasks on the plan's workers and return what each came to."""
    executor: Executor = Inline() if plan.execution.executor == "inline" else Processes()
    start = StartStage(plan.results_dir, stage.index)
    execution = plan.execution
    with closing(
        executor.map(tasks, start, devices=execution.workers, threads=execution.threads, emit=watch.row)  # type: ignore[type-var]
    ) as results:
        return list(results)


def isolate(store: RunStore, plan: Plan, stage: Stage, shard: Shard, *, watch: Watch) -> None:
    """Label a shard that kills its workers row by row; the row that does it is recorded as failed."""
    outcomes = dict(run_tasks(plan, stage, [(shard.index, row) for row in range(shard.rows)], watch=watch))
    lines = []
    for row, text in enumerate(store.rows(shard)):
        outcome = outcomes[shard.index, row]
        if isinstance(outcome, Crash):
            labels = inputs.decode(text).labels(plan.classes)
            reason = Reason(code="worker_crash", message=outcome.message)
            outcome = record.encode(replace(labels, instances=Instances.empty(), reason=reason), plan.digest)
        lines.append(outcome + b"\n")
    publish(store.shard(stage, shard.index), lines, name="shard")
