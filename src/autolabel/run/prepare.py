"""Prepare a results directory for a plan: new, resumed, extended, or started over."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from msgspec.structs import replace

from autolabel.data.inputs import decode_input
from autolabel.errors import BusyError, DataError
from autolabel.plan.compile import Compiled, compile_around, results_dir_for
from autolabel.plan.difference import changes, plan_differences
from autolabel.plan.identity import decisive, extended_digest
from autolabel.plan.model import Plan
from autolabel.plan.shards import shard_rows
from autolabel.registry import Registry
from autolabel.results.ownership import PLAN, check_links, check_place, foreign, mark_older
from autolabel.results.store import INPUTS, LABELS, LOGS, STAGES, RunStore, publish
from autolabel.results.stored_rows import StoredRows
from autolabel.results.written import OUTPUTS
from autolabel.results.written import planned_outputs as outputs
from autolabel.run.reconcile import compare_rows, empty_shards, lay_out, move_decisions, move_labels
from autolabel.run.stage import ANSWERS, SPENT
from autolabel.spec.model import Spec

_SHOWN = 3
"""The number of differences that a message names; --json has them all."""


class Mode(StrEnum):
    """How a run treats a results directory with labels."""

    RESUME = "resume"
    """Label what has no labels yet; the rows must be those of the earlier run."""
    FRESH = "fresh"
    """Start over: forget what earlier runs left."""
    EXTEND = "extend"
    """Resume, updated for changed images: added, removed, renamed, changed; all others keep their labels."""
    PLANNED = "planned"
    """Label the rows of the plan that lies there; see ``planned_run``."""


def prepare(store: RunStore, compiled: Compiled, mode: Mode, *, alone: bool = True) -> Plan:
    """Write the plan and its inputs, and return the plan to run, with the directory's shards if there are any.

    If not ``alone``, temporary files of other processes are kept; a plan without any labels is only replaced if
    ``alone``. Raises BusyError, naming the difference, if the directory holds the results of another plan.
    """
    check_links(store.root, [STAGES, LOGS, ANSWERS])
    mark_older(store.root)
    if alone:
        store.sweep()
    plan, rows = compiled.plan, compiled.rows
    if mode is Mode.PLANNED:
        _check_same(store, plan)
        store.check_inputs(plan)
        _check_places(store, plan)
        store.publish_plan(plan)
        return plan
    own_rows = isinstance(rows, StoredRows) and str(rows.store.root) == str(store.root)
    if mode is Mode.FRESH and own_rows:
        raise ValueError("a plan with the rows of its results directory cannot start that directory over")
    untouched = alone and next(store.shards(), None) is None and not store.labels.exists()
    old = None if mode is Mode.FRESH or (untouched and not own_rows) else store.read_plan()
    if old is None:
        store.clear()
    else:
        plan, rows = _reconcile(store, old, compiled, extend=mode is Mode.EXTEND)
    publish(store.root / INPUTS, (line + b"\n" for line in rows), name="inputs")
    store.publish_plan(plan)
    empty_shards(store, plan)
    return plan


def forget_spending(store: RunStore) -> None:
    """Reset the spending of a run."""
    if isinstance(store.root, Path):
        (store.root / SPENT).unlink(missing_ok=True)


def refuse_foreign(store: RunStore, plan: Plan) -> None:
    """Raise BusyError if this run would replace files that no run has written."""
    check_place(store.root)
    if others := foreign(store.root, [PLAN, INPUTS, STAGES, LABELS, OUTPUTS], outputs(plan)):
        raise BusyError(
            f"{store.root} holds {', '.join(others)}, which no run of autolabel has written",
            hint="choose another results_dir, or move them elsewhere",
        )


def planned_run(spec: Spec, *, registry: Registry, limit: int | None = None) -> Compiled:
    """Return the plan of a spec with the rows stored in its results directory, for ``Mode.PLANNED``.

    Lists no images. Raises DataError if there is no stored plan.
    """
    store = RunStore(results_dir_for(spec, limit=limit))
    old = store.read_plan()
    if old is None:
        raise DataError(
            f"{store.root}: no plan.json here", hint="run `autolabel plan SPEC --write` first, without --planned"
        )
    return compile_around(spec, old, StoredRows(store, old), registry=registry, limit=limit)


def _check_places(store: RunStore, plan: Plan) -> None:
    """Raise DataError if a stored row names an image outside the spec's folders."""
    for row in map(decode_input, StoredRows(store, plan)):
        if not row.code and not plan.manifest.image_path(row.image):
            message = f"{store.inputs}: {row.image!r} is in no folder of data.images"
            raise DataError(message, hint="start again without --planned")


def _check_same(store: RunStore, plan: Plan) -> None:
    """Raise BusyError unless the directory still holds the rows of a plan, with the same recipe."""
    old = store.read_plan()
    if old is None or (old.digest, old.manifest.shards) != (plan.digest, plan.manifest.shards):
        raise BusyError(f"{store.root} was planned again in the meantime", hint="start this command again")
    if _decisive_of(old) != _decisive_of(plan):
        _refuse(store, old, plan)
    if old.manifest.roots != plan.manifest.roots:
        message = "; ".join(changes("data.images", old.manifest.roots, plan.manifest.roots))
        raise BusyError(f"{store.root} was planned for other images: {message}", hint="start again without --planned")


def _reconcile(store: RunStore, old: Plan, compiled: Compiled, *, extend: bool) -> tuple[Plan, Iterable[bytes]]:
    """Return the new plan with the shards of the old one; with ``extend``, updated for changed images.

    Raises BusyError if the recipes differ, or if images have changed without ``extend``.
    """
    new = compiled.plan
    if _decisive_of(old) != _decisive_of(new):
        _refuse(store, old, new)
    if old.digest == new.digest and _rows_each(old) == _rows_each(new) and _same_contents(old, new):
        return replace(new, version=old.version, extends=old.extends), compiled.rows
    before = list(map(decode_input, StoredRows(store, old)))
    step = compare_rows(before, map(decode_input, compiled.rows))
    if step and not extend:
        raise BusyError(
            f"{store.root}: the images have changed since it was planned: {step.said()}",
            hint="--extend updates the run and keeps the labels of all others; --fresh starts over",
        )
    more = shard_rows(step.new, key=compiled.batch_key, shard_size=new.recipe.shard_size)
    layout = lay_out(store, old, step, more)
    manifest = replace(new.manifest, shards=layout.shards)
    plan = replace(new, version=old.version, manifest=manifest, digest=old.digest, extends=old.extends)
    if step:
        plan = replace(
            plan,
            digest=extended_digest(old.digest, manifest),
            extends=(old.digest, *old.extends),
            notices=(*new.notices, f"updated for changed images: {step.said()}"),
        )
        move_labels(store, old, plan, step, layout)
        move_decisions(store, plan, step.renamed)
    return plan, layout.lines


def _same_contents(old: Plan, new: Plan) -> bool:
    """Return whether the images have the planned content, as far as fingerprints show."""
    before, now = old.manifest.contents, new.manifest.contents
    return not before or not now or before == now


def _rows_each(plan: Plan) -> list[int]:
    """Return the number of rows of each shard; offsets differ if image folders have moved."""
    return [shard.rows for shard in plan.manifest.shards]


def _refuse(store: RunStore, old: Plan, new: Plan, *, hint: str = "") -> NoReturn:
    """Raise BusyError with the most important differences in the message, and all of them as data."""
    found = plan_differences(_decisive_of(old), _decisive_of(new))
    if old.manifest.fingerprint != new.manifest.fingerprint:
        found.append(f"the images or prompts differ ({old.manifest.rows:,} rows, now {new.manifest.rows:,})")
    found = found or ["its format is of another version"]
    more = len(found) - _SHOWN
    rest = f"; and {more} more difference{'s' if more > 1 else ''}, which --json lists" if more > 0 else ""
    raise BusyError(
        f"{store.root} holds the results of another plan: {'; '.join(found[:_SHOWN])}{rest}",
        hint=hint or "choose another results_dir, or start over with --fresh",
        differences=found,
    )


def _decisive_of(plan: Plan) -> dict[str, Any]:
    """Return the parts of a plan, besides its rows, that affect labels."""
    return decisive(plan.recipe, plan.manifest.classes, version=plan.autolabel)
