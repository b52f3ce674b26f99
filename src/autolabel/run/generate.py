"""Run a compiled plan, or resume it where it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from autolabel.data import inputs
from autolabel.errors import DataError
from autolabel.executors.executor import Crash, Executor
from autolabel.executors.inline import Inline
from autolabel.executors.processes import Processes
from autolabel.executors.ray import Ray
from autolabel.plan.compile import Compiled
from autolabel.plan.model import Execution, Plan, Shard, Stage
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.results.ledger import write_ledger
from autolabel.results.ownership import check_links
from autolabel.results.seal import as_named
from autolabel.results.slices import Slice, alone, check_complete, entered
from autolabel.results.store import LOGS, STAGES, RunStore
from autolabel.results.summary import Summary
from autolabel.results.written import mark_stale
from autolabel.run.describe import described, refuse_wanting
from autolabel.run.duplicates import keep_groups
from autolabel.run.outputs import write_outputs
from autolabel.run.prepare import Mode, forget_spending, prepare, refuse_foreign
from autolabel.run.worker import Done, Once, StartStage, Watch
from autolabel.storage import Location
from autolabel.types import Instances, Reason

_log = logging.getLogger(__name__)


def generate(
    compiled: Compiled, *, registry: Registry, watch: Watch | None = None, mode: Mode | str = "resume"
) -> Summary:
    """Label all rows without labels, then write the ledger, exports and report.

    ``mode`` decides about labels in the results directory: ``resume`` keeps them, ``fresh`` starts over, ``extend``
    updates the run for images that were added, removed, renamed or changed, ``planned`` runs the plan returned by
    ``autolabel.run.prepare.planned_run``. Raises BusyError if the results directory is in use, or holds the results of
    another plan and the mode does not replace them.
    """
    watch = watch or Watch()
    store = _store_for(compiled.plan)
    with alone(store):
        compiled = _described(store, compiled, Mode(mode), watch)
        plan = prepare(store, compiled, Mode(mode))
        _tell_news(plan, compiled, watch)
        for stage in plan.recipe.stages:
            _run_stage(store, plan, stage, plan.manifest.shards, watch=watch)
        return _finish(store, plan, registry=registry, watch=watch)


def generate_slice(
    compiled: Compiled, part: Slice, *, watch: Watch | None = None, mode: Mode | str = "resume"
) -> Sequence[Shard]:
    """Label the shards of one slice, through all stages, and return them; other slices may run at the same time.

    Call ``merge`` when all slices are done. Raises BusyError if the slice is already running, or if the directory
    belongs to another run or plan.
    """
    watch = watch or Watch()
    refuse_wanting(compiled.plan)
    store = _store_for(compiled.plan)
    with entered(store, part, partial(prepare, store, compiled, Mode(mode))) as plan:
        _tell_news(plan, compiled, watch)
        for stage in plan.recipe.stages:
            _run_stage(store, plan, stage, part.of(plan), watch=watch)
    return part.of(plan)


def _tell_news(plan: Plan, compiled: Compiled, watch: Watch) -> None:
    """Report notices from preparing the results directory."""
    for text in plan.notices[len(compiled.plan.notices) :]:
        watch.noted(text)


def write_plan(compiled: Compiled, *, mode: Mode | str = "resume") -> Plan:
    """Write the plan and its rows into the results directory without labelling; return the plan that is then there.

    Captions that the spec requests are written first, because their phrases are part of the rows. Raises BusyError as
    ``generate`` does.
    """
    store = _store_for(compiled.plan)
    with alone(store):
        return prepare(store, _described(store, compiled, Mode(mode), Watch()), Mode(mode))


def _described(store: RunStore, compiled: Compiled, mode: Mode, watch: Watch) -> Compiled:
    """Return a plan whose images all have captions; a run that starts over has its spending reset first."""
    if mode is Mode.FRESH:
        forget_spending(store)
    return described(compiled, watch=watch, fresh=mode is Mode.FRESH)


def _store_for(plan: Plan) -> RunStore:
    """Return the store of a plan's results; raises BusyError if the folder was not written by autolabel."""
    store = RunStore.at(plan)
    refuse_foreign(store, plan)
    return store


def merge(run: Location, *, registry: Registry, watch: Watch | None = None) -> tuple[Summary, Plan]:
    """Write the ledger, exports and report once all slices are done; return the summary and the plan.

    Raises DataError, naming them, if shards are missing; BusyError if a slice is still running.
    """
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None:
        raise DataError(f"{run}: no plan.json here", hint="run `autolabel generate SPEC --slice i/n` first")
    plan = as_named(store.root, plan)
    check_links(store.root, [STAGES, LOGS])
    with alone(store):
        store.check_inputs(plan)
        check_complete(store, plan)
        return _finish(store, plan, registry=registry, watch=watch or Watch()), plan


def _finish(store: RunStore, plan: Plan, *, registry: Registry, watch: Watch) -> Summary:
    """Write the ledger, exports, pictures and report of a run whose shards are all there."""
    watch.writing("labels.jsonl")
    mark_stale(store, plan)
    write_ledger(store, plan)
    if groups := keep_groups(store, plan).members:
        watch.noted(f"{sum(map(len, groups)):,} images are near-duplicates of others, in {len(groups):,} groups")
    return write_outputs(store, plan, registry=registry, watch=watch)


def _run_stage(store: RunStore, plan: Plan, stage: Stage, shards: Sequence[Shard], *, watch: Watch) -> None:
    """Label the shards of a stage that have no file or a damaged one."""
    missing = _unlabelled(store, plan, stage, shards)
    rows, left = (sum(shard.rows for shard in some) for some in (shards, missing))
    watch.stage_started(plan, stage, rows=rows, left=left)
    tell = Once(watch.row)
    crashed = _run_tasks(plan, stage, [(shard.index, None) for shard in missing], tell=tell)
    for (index, _), crash in crashed:
        if isinstance(crash, Crash):
            _isolate(store, plan, stage, plan.manifest.shards[index], tell=tell)
    watch.stage_finished(stage)


def _unlabelled(store: RunStore, plan: Plan, stage: Stage, shards: Sequence[Shard]) -> list[Shard]:
    """Return the shards without a file or with a damaged one; each damaged file is reported."""
    mine = {shard.index for shard in shards}
    todo = {shard.index for shard in store.missing(plan, stage)} & mine
    for index, fault in store.damaged(plan, stage, [shard for shard in shards if shard.index not in todo]).items():
        _log.warning("%s: is damaged: %s; it is labelled again", store.shard(stage, index), fault)
        todo.add(index)
    return [shard for shard in shards if shard.index in todo]


def _run_tasks(plan: Plan, stage: Stage, tasks: Sequence[Any], *, tell: Once) -> list[tuple[Any, Any]]:
    """Run tasks on the plan's workers and return their results."""
    start = StartStage(plan.outputs.results_dir, stage.index, logs=plan.execution.executor != "inline")
    with closing(executor(plan.execution).map(tasks, start, emit=tell)) as results:  # type: ignore[type-var]
        return list(results)


def executor(execution: Execution) -> Executor:
    """Return the plan's executor."""
    if execution.executor == "inline":
        return Inline(execution.workers[0], execution.threads)
    if execution.cluster is not None:
        return Ray(execution.cluster, execution.threads)
    return Processes(execution.workers, execution.threads)


def _isolate(store: RunStore, plan: Plan, stage: Stage, shard: Shard, *, tell: Once) -> None:
    """Label a shard that kills its workers row by row, and record the row that does so as failed."""
    outcomes = dict(_run_tasks(plan, stage, [(shard.index, row) for row in range(shard.rows)], tell=tell))
    lines = []
    for row, text in enumerate(store.rows(shard)):
        outcome = outcomes[shard.index, row]
        if isinstance(outcome, Crash):
            labels = inputs.decode_input(text).labels(plan.manifest.classes)
            reason = Reason(code="worker_crash", message=outcome.message)
            failed = replace(labels, instances=Instances.empty(), reason=reason)
            tell(Done(shard.index, row, failed.state, boxes=0))
            outcome = record.encode_labels(failed, plan.digest)
        lines.append(outcome)
    store.publish_shard(plan, stage, shard, lines)
