"""Make a results directory a plan's own: new, resumed, extended, or started over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace

from autolabel.data.inputs import Input, decode, encode
from autolabel.errors import BusyError, DataError
from autolabel.plan import model
from autolabel.plan.compile import Compiled, compile_around, place_of
from autolabel.plan.model import Plan
from autolabel.plan.shards import Cut, cut, identity, lay
from autolabel.registry import Registry
from autolabel.results.store import INPUTS, LABELS, PLAN, STAGES, RunStore, publish
from autolabel.results.written import OUTPUTS
from autolabel.results.written import planned as outputs
from autolabel.spec.model import Spec

LONGEST = 120


def settle(store: RunStore, compiled: Compiled | Plan, *, fresh: bool, extend: bool, alone: bool = True) -> Plan:
    """Write the plan and its inputs, and return the plan to run: that of the directory's shards where there are any.

    A plan that comes without its rows takes those which the directory holds. Files that others are writing stay where
    this run is not ``alone``. Raises BusyError, with the difference named, where the directory holds the results of
    another plan.
    """
    if alone:
        store.sweep()
    if isinstance(compiled, Plan):
        check_same(store, compiled)
        store.check_inputs(compiled)
        publish(store.root / PLAN, [model.encode(compiled)], name="plan")
        return compiled
    there = None if fresh else store.read_plan()
    if there is None:
        store.clear()
    plan, inputs = (compiled.plan, compiled.inputs) if there is None else adopt(store, there, compiled, extend=extend)
    publish(store.root / INPUTS, inputs.lines.text(), name="inputs")
    publish(store.root / PLAN, [model.encode(plan)], name="plan")
    return plan


def refuse_foreign(store: RunStore, plan: Plan) -> None:
    """Raise BusyError where a folder in which no run has been yet holds what this one would replace."""
    names = [PLAN, INPUTS, STAGES, LABELS, OUTPUTS, *outputs(plan)]
    if foreign := store.foreign(names):
        raise BusyError(
            f"{store.root} holds {', '.join(foreign)}, which no run of autolabel has written",
            hint="choose another results_dir, or move them elsewhere",
        )


def planned(spec: Spec, *, registry: Registry, limit: int | None = None) -> Plan:
    """Return the plan of a spec with the rows that its results directory holds; lists no images.

    Raises DataError where none has been planned there.
    """
    place = place_of(spec, limit=limit)
    there = RunStore(place).read_plan()
    if there is None:
        raise DataError(
            f"{place}: no plan.json here", hint="run `autolabel plan SPEC --write` first, without --planned"
        )
    return compile_around(spec, there, registry=registry, limit=limit)


def check_same(store: RunStore, plan: Plan) -> None:
    """Raise BusyError unless the directory holds the rows that a plan was made around, to be labelled as it says."""
    there = store.read_plan()
    if there is None or (there.digest, there.shards) != (plan.digest, plan.shards):
        raise BusyError(f"{store.root} was planned again meanwhile", hint="start this command again")
    if there.results != plan.results:
        refuse(store, there, plan)
    if there.roots != plan.roots:
        told = "; ".join(descend("data.images", there.roots, plan.roots))
        raise BusyError(f"{store.root} was planned for other images: {told}", hint="start again without --planned")


def adopt(store: RunStore, there: Plan, compiled: Compiled, *, extend: bool) -> tuple[Plan, Cut]:
    """Return the new plan in the shards of the old one, rows that were added since in shards of their own."""
    new = compiled.plan
    if there.digest == new.digest and rows_each(there) == rows_each(new):
        return new, compiled.inputs
    if there.results != new.results:
        refuse(store, there, new)
    rows = {(row.image, row.caption_index): row for row in map(decode, compiled.inputs.lines)}
    old = [decode(line) for shard in there.shards for line in store.rows(shard)]
    kept = [rows.pop((row.image, row.caption_index), None) for row in old]
    changed = [row for row, now in zip(old, kept, strict=True) if now is None or identity(now) != identity(row)]
    if changed:
        refuse(store, there, new)
    if rows and not extend:
        refuse(store, there, new, hint="label what was added with --extend, or start over with --fresh")
    return arranged(compiled, there, [row for row in kept if row is not None], list(rows.values()))


def rows_each(plan: Plan) -> list[int]:
    """Return how many rows each shard has; where the images lie may have changed the rest."""
    return [shard.rows for shard in plan.shards]


def arranged(compiled: Compiled, there: Plan, kept: list[Input], added: list[Input]) -> tuple[Plan, Cut]:
    """Lay the rows that were there into the shards they have, then those that were added."""
    more = cut(added, key=compiled.key, shard_size=compiled.shard_size)
    counts = [shard.rows for shard in (*there.shards, *more.shards)]
    inputs = lay([*map(encode, kept), *more.lines], counts)
    digest = model.digest([there.digest, compiled.plan.inputs]) if added else there.digest
    extends = (there.digest, *there.extends) if added else there.extends
    plan = replace(compiled.plan, version=there.version, shards=inputs.shards, digest=digest, extends=extends)
    return plan, inputs


def refuse(store: RunStore, old: Plan, new: Plan, *, hint: str = "") -> NoReturn:
    """Raise BusyError, naming the difference."""
    raise BusyError(
        f"{store.root} holds the results of another plan: {'; '.join(differences(old, new))}",
        hint=hint or "choose another results_dir, or start over with --fresh",
    )


def differences(old: Plan, new: Plan) -> list[str]:
    """Name what differs between two plans, most telling first."""
    out = list(descend("", old.results, new.results))
    if old.inputs != new.inputs:
        out.append(f"the images or prompts differ ({old.rows:,} rows, now {new.rows:,})")
    return out or ["its format is of another version"]


def descend(path: str, old: Any, new: Any) -> Iterator[str]:
    """Name the values in which two pieces of JSON differ, by their paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from descend(f"{path}.{name}" if path else name, old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from descend(f"{path}[{index}]", before, after)
    elif old != new:
        yield f"{path} was {brief(old)}, now {brief(new)}"


def brief(value: Any) -> str:
    """Return a value's JSON, cut where it is long."""
    text = msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
