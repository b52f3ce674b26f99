"""What kept candidates will save a run, told before it starts."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from autolabel.data import inputs
from autolabel.data.prefetch import prefetch
from autolabel.errors import ImageError
from autolabel.plan.compile import Compiled
from autolabel.plan.model import Forecast, Plan
from autolabel.registry import Registry
from autolabel.run.shard import Worker, content_of
from autolabel.strategies import Detector
from autolabel.types import Labels

TYPICAL = 1400
"""Bytes that an answer takes where none is there to go by."""


def foretold(compiled: Compiled, *, registry: Registry) -> Plan:
    """Return a plan that says what its folder of candidates saves; the plan itself where it names no such folder.

    Reads the images' bytes, decodes and loads nothing; searches every image as far as memory goes.
    """
    plan = compiled.plan
    stage = plan.stages[0]
    worker = Worker.make(plan, stage, device="cpu", registry=registry)
    if worker.candidates is None:
        return plan
    lines = (inputs.decode(line).labels(plan.classes) for line in compiled.inputs.lines)
    return replace(plan, forecast=forecast(worker, (row for row in lines if worker.has_work(row))))


def forecast(worker: Worker, rows: Iterable[Labels]) -> Forecast:
    """Count the rows that memory answers, and the forward passes that the others take at most."""
    assert worker.candidates is not None and isinstance(worker.labeler, Detector)
    kept = worker.candidates.count
    typical = worker.candidates.size / kept if kept else TYPICAL
    total = answered = passes = sets = 0
    threads = worker.plan.execution.num_workers
    for row, content in prefetch(
        lambda row: (row, content_of(row) if kept else ""), rows, threads=threads, ahead=4 * threads
    ):
        more = passes_left(worker, row, content)
        total += 1
        answered += not more
        passes += sum(more)
        sets += len(more)
    return Forecast(rows=total, answered=answered, passes=passes, bytes=round(sets * typical))


def passes_left(worker: Worker, row: Labels, content: str) -> list[int]:
    """Return the forward passes of each set of phrases that is still to be asked of a row, at most; none, none."""
    assert isinstance(worker.labeler, Detector)
    search = worker.search(row, content)
    phrases = search.wants()
    if phrases is None:
        return []
    try:
        each = worker.labeler.passes(search.asks(phrases))
    except ImageError:  # this row fails when it is labelled
        return [0]
    rounds = len(worker.stage.rounds) - search.round
    return [each] * (1 if worker.stage.ask == "all" else max(1, min(rounds, len(phrases))))
