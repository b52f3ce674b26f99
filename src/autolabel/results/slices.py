"""Slices: several commands that share a results directory, each with its own shards and lock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from autolabel.errors import BusyError, DataError, Problem, SpecError
from autolabel.plan.model import Plan, Shard, Stage
from autolabel.results.lock import holder, taken, when_free
from autolabel.results.ownership import LOCK
from autolabel.results.store import RunStore
from autolabel.storage import list_files

_LOCKS = re.compile(re.escape(LOCK) + r"-(\d+)-of-(\d+)")
WAIT_SECONDS = 120.0
"""Seconds that a slice waits for others to write the plan."""
_SHOWN = 8


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """One of ``count`` slices, counted from 1: every ``count``-th shard."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Slice:
        """Parse ``2/8``; raises SpecError if it is invalid."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        part = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= part.index <= part.count:
            hint = "--slice 1/8 to --slice 8/8 make a whole run: a Slurm array needs --array=1-8"
            raise SpecError(f"--slice {text}: wanted i/n with i from 1 to n", hint=hint)
        return part

    def __str__(self) -> str:
        """Return ``2/8``."""
        return f"{self.index}/{self.count}"

    @property
    def lock(self) -> str:
        """The name of this slice's lock."""
        return f"{LOCK}-{self.index}-of-{self.count}"

    def of(self, plan: Plan) -> Sequence[Shard]:
        """Return this slice's shards."""
        return plan.manifest.shards[self.index - 1 :: self.count]


@contextmanager
def alone(store: RunStore) -> Iterator[None]:
    """Lock the whole directory; raises BusyError if another run or any slice holds it."""
    with store.lock():
        if others := running(store):
            names = ", ".join(map(str, others[:_SHOWN]))
            raise BusyError(f"{store.root} is in use by slice {names}", hint="wait for it, or end it")
        yield


@contextmanager
def entered(store: RunStore, part: Slice, settle: Callable[..., Plan]) -> Iterator[Plan]:
    """Lock a slice, after locking the whole directory while ``settle`` writes its plan; yield the plan.

    ``settle`` gets the argument ``alone``: whether no other slice runs. Raises BusyError if the slice is already
    running, if slices of another count are, or if a whole run holds the directory.
    """
    with ExitStack() as held:
        with _held_after_waiting(store):
            held.enter_context(store.lock(part.lock))
            others = [other for other in running(store) if other != part]
            if unknown_names := [other for other in others if other.count != part.count]:
                raise BusyError(
                    f"{store.root} is in use by slice {unknown_names[0]}, and {part} is divided differently"
                )
            plan = settle(alone=not others)
        yield plan


@contextmanager
def _held_after_waiting(store: RunStore) -> Iterator[None]:
    """Lock the directory, waiting if necessary."""
    with ExitStack() as held:
        when_free(lambda: held.enter_context(store.lock()), seconds=WAIT_SECONDS)
        yield


def seen(store: RunStore) -> list[Slice]:
    """Return the slices that have ever run here."""
    names = (entry.name for entry in list_files(store.root))
    return sorted(Slice(int(found[1]), int(found[2])) for found in map(_LOCKS.fullmatch, names) if found)


def running(store: RunStore) -> list[Slice]:
    """Return the running slices."""
    return [part for part in seen(store) if holder(store.root / part.lock)]


def cut_last(store: RunStore) -> Sequence[Slice]:
    """Return all slices of the latest count, whether they ran or not; empty if none did."""
    last = max(seen(store), key=lambda part: taken(store.root / part.lock), default=None)
    return [] if last is None else [Slice(index, last.count) for index in range(1, last.count + 1)]


def check_complete(store: RunStore, plan: Plan) -> None:
    """Raise DataError, naming them, if shards are missing or damaged."""
    stage = plan.recipe.stages[-1]
    missing = store.missing(plan, stage)
    if not missing:
        _check_whole(store, plan, stage)
        return
    counts = {part.count for part in seen(store)}
    hint = "`autolabel generate SPEC` labels the missing shards"
    names = [f"shard {shard.index}" for shard in missing]
    if len(counts) == 1:
        [count] = counts
        parts = Counter(Slice(shard.index % count + 1, count) for shard in missing)
        names = [f"{number} of slice {part}" for part, number in sorted(parts.items())]
        hint = f"`autolabel generate SPEC --slice {min(parts)}` labels the missing shards of the first"
    names_shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    raise DataError(
        f"{store.root}: {len(missing)} of {len(plan.manifest.shards)} shards are missing: {names_shown}", hint=hint
    )


def _check_whole(store: RunStore, plan: Plan, stage: Stage) -> None:
    """Raise DataError, naming them, if shards of a stage are damaged."""
    damaged = store.damaged(plan, stage, plan.manifest.shards)
    problems = [
        Problem(file=str(store.shard(stage, index)), message=f"is damaged: {fault}")
        for index, fault in list(damaged.items())[:_SHOWN]
    ]
    if problems:
        hint = "`autolabel generate SPEC` labels them again"
        message = f"{len(damaged)} of {len(plan.manifest.shards)} shards are damaged"
        raise DataError([*problems, Problem(file=str(store.root), message=message, hint=hint)])
