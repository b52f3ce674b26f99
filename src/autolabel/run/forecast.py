"""Forecast how much work cached candidates save."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from autolabel.data import inputs
from autolabel.data.prefetch import prefetch
from autolabel.errors import ImageError
from autolabel.plan.census import most_asked
from autolabel.plan.compile import Compiled
from autolabel.plan.model import Forecast, Plan, Stage
from autolabel.registry import Registry
from autolabel.run.anneal import Annealing, Search
from autolabel.run.candidates import CandidateStore, ImageMemory, content_of
from autolabel.run.stage import has_work, make_annealing, make_labeler
from autolabel.strategies import Detector
from autolabel.types import Labels

_TYPICAL = 1400
"""Bytes that an answer takes where none is there to go by."""


@dataclass(frozen=True, slots=True)
class _Forecaster:
    """A detector, its rounds, and its cached answers; no weights are loaded."""

    detector: Detector
    annealing: Annealing
    candidates: CandidateStore
    stage: Stage

    def passes_left(self, row: Labels, content: str) -> list[int]:
        """Return the maximum forward passes of each uncached query for a row; empty if all are cached."""
        memory = ImageMemory(self.candidates, content, row.image.size, self.annealing.floor)
        search = Search(row.prompt, row.image.size, self.annealing, memory=memory)
        question = search.next_query()
        if question is None:
            return []
        try:
            each = self.detector.passes(search.asks(question))
        except ImageError:  # this row will fail when it is labelled
            return [0]
        most = most_asked(self.stage, phrases=len(question.phrases), round=search.round)
        known = sum(one.phrases == question.phrases for one in search.answers)
        return [each] * max(1, most - known)


def foretold(compiled: Compiled, *, registry: Registry) -> Plan:
    """Return a plan with the forecast of its candidates folder; the same plan if it has none.

    Hashes the images' bytes, and runs the search of every image on cached candidates; decodes and loads nothing.
    """
    plan, stage = compiled.plan, compiled.plan.recipe.stages[0]
    candidates = CandidateStore.of(plan, stage)
    if candidates is None:
        return plan
    detector, annealing = make_labeler(stage, registry), make_annealing(stage, plan.recipe.ontology, registry)
    assert isinstance(detector, Detector) and annealing is not None, "only a detector's candidates are kept"
    lines = (plan.manifest.placed(inputs.decode_input(line)).labels(plan.manifest.classes) for line in compiled.rows)
    rows = (row for row in lines if has_work(detector, row))
    forecaster = _Forecaster(detector, annealing, candidates, stage)
    return replace(plan, forecast=_forecast(forecaster, rows, threads=plan.execution.num_workers))


def _forecast(forecaster: _Forecaster, rows: Iterable[Labels], *, threads: int) -> Forecast:
    """Count the rows that are fully cached, and the maximum forward passes of the others."""
    kept = forecaster.candidates.count
    typical = forecaster.candidates.size / kept if kept else _TYPICAL
    total = answered = passes = sets = 0
    for row, content in prefetch(
        lambda row: (row, content_of(row) if kept else ""), rows, threads=threads, ahead=4 * threads
    ):
        more = forecaster.passes_left(row, content)
        total += 1
        answered += not more
        passes += sum(more)
        sets += len(more)
    return Forecast(rows=total, answered=answered, passes=passes, bytes=round(sets * typical))
