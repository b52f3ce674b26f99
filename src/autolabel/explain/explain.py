"""Explain the boxes of one image by running the detector again and comparing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial

import numpy as np

from autolabel import weights
from autolabel.executors.tuning import torch_threads
from autolabel.explain.explanation import Box, BoxOrigin, Candidate, Explanation, MaskOrigin, Unfound
from autolabel.explain.image_rows import inputs_of, labels_of
from autolabel.explain.lineage import Lineage, trace_box
from autolabel.images import ValueRange
from autolabel.plan.devices import asked_device, resolve_devices
from autolabel.plan.model import Plan, Stage
from autolabel.registry import Registry
from autolabel.results.journal import read_decisions
from autolabel.results.record import BOX_DECIMALS, SCORE_DECIMALS
from autolabel.results.review import verdicts
from autolabel.results.store import RunStore, finished
from autolabel.run.anneal import Annealing, ImageToSearch, Search, searched
from autolabel.run.same_weights import check_same_weights, refuse_fetching
from autolabel.run.stage import desk_of, make_annealing, make_labeler, preprocess, read_row
from autolabel.storage import Location
from autolabel.strategies import Detector
from autolabel.types import Instances, Labels, Round

_DECIMALS = 7
_SAME_BOX = 1.0
"""The largest distance, in pixels, at which a recorded and a derived box count as the same."""


class _EveryCandidate(Annealing):
    """An annealing that also returns candidates below the thresholds."""

    @property
    def floor(self) -> float:
        """Request every candidate."""
        return 0.0


def explain_run(run: Location, image: str, *, registry: Registry, device: str | None = None) -> list[Explanation]:
    """Explain the rows of one image of a finished run, one per caption, running the detector again on ``device``.

    ``image`` is an id, or a suffix that only one id has. ``device`` defaults to the run's, or to the CPU after a run on
    a cluster. Raises DataError if run or image do not exist, ImageError if the image can no longer be read,
    MachineError or WeightsError if the detector cannot be loaded.
    """
    store, plan = finished(run)
    rows = labels_of(store, plan, image)
    searcher = None
    if any(row.reason is None for row in rows):
        [place] = resolve_devices(asked_device(device or next(iter(plan.execution.workers), "cpu")))
        searcher = load_searcher(plan, device=place, registry=registry)
    with torch_threads(plan.execution.threads):
        return explain_rows(rows, store=store, plan=plan, searcher=searcher)


def explain_rows(
    rows: Sequence[Labels], *, store: RunStore, plan: Plan, searcher: _Searcher | None
) -> list[Explanation]:
    """Explain the rows of one image; without ``searcher`` its boxes were given, or no row has any."""
    before = inputs_of(store, plan, rows[0].image.id)
    review = read_decisions(store)
    explanations: list[Explanation] = []
    for row, asked in zip(rows, before, strict=True):
        search = None if searcher is None or row.reason is not None else searcher.search(asked)
        said = verdicts(row, review) if review else [None] * len(row.instances)
        explanations.append(Retrace(plan=plan, row=row, search=search, verdicts=said).explanation())
    return explanations


def load_searcher(plan: Plan, *, device: str, registry: Registry) -> _Searcher | None:
    """Load the detector of the stage that found the boxes; None if they were given."""
    stage = _detecting(plan)
    if stage is None:
        return None
    refuse_fetching(stage)
    detector = make_labeler(stage, registry, desk_of(plan))
    annealing = make_annealing(stage, plan.recipe.ontology, registry)
    assert isinstance(detector, Detector) and annealing is not None, "a stage with rounds has a detector"
    with weights.offline():
        check_same_weights(detector, stage)
        detector.load(device)
    every = _EveryCandidate(**{field.name: getattr(annealing, field.name) for field in fields(Annealing)})
    return _Searcher(detector, every, plan.recipe.max_pixels, plan.recipe.value_range)


def _detecting(plan: Plan) -> Stage | None:
    """Return the stage that found the boxes; None if they were given."""
    return next((stage for stage in plan.recipe.stages if stage.rounds), None)


@dataclass(frozen=True, slots=True)
class _Searcher:
    """A loaded detector that repeats the search of images."""

    detector: Detector
    annealing: Annealing
    max_pixels: int
    value_range: ValueRange = None

    def search(self, row: Labels) -> Search:
        """Search an image as the run did, except for its neighbours in the batch; raises the error if that fails."""
        pixels = read_row(row, max_pixels=self.max_pixels, value_range=self.value_range)
        item = preprocess(self.detector, row, pixels)
        batch = [ImageToSearch(0, row.prompt, row.image.size, item)]
        ((_, outcome),) = searched(self.detector, [batch], self.annealing, batch_size=1)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@dataclass(frozen=True, kw_only=True, eq=False)
class Retrace:
    """A row of the labels, with the repeated search."""

    plan: Plan
    row: Labels
    search: Search | None
    """The finished search; None if boxes were given, or the row failed."""
    verdicts: Sequence[str | None]

    def explanation(self) -> Explanation:
        """Return the explanation."""
        row, (height, width) = self.row, self.row.image.size
        stage = _detecting(self.plan) if self.search is not None else None
        return Explanation(
            image=row.image.id,
            caption_index=row.caption_index,
            caption=row.prompt.caption,
            width=width,
            height=height,
            state=row.state,
            reason=row.reason.message if row.reason else None,
            phrases=row.prompt.phrases,
            labeler=stage.labeler.type if stage else None,
            aggregator=stage.aggregator.type if stage and stage.aggregator else None,
            last_round=self.last.index if self.last else None,
            boxes=tuple(self.box(index) for index in range(len(row.instances))),
            unfound=tuple(self.unfound()),
            looks=self.looks,
        )

    @property
    def looks(self) -> tuple[str, ...]:
        """The looks used in any round, for any class."""
        if self.search is None:
            return ()
        names = self.search.annealing.looks.names[: self.search.looked.max(initial=0)]
        return tuple(name for name in names if name is not None)

    @cached_property
    def kept(self) -> Instances:
        """The boxes of the repeated search, clipped to the image."""
        return self.search.result() if self.search is not None else Instances.empty()

    @property
    def last(self) -> Round | None:
        """The last round whose union was aggregated."""
        return self.search.last if self.search is not None else None

    @cached_property
    def lineage(self) -> Lineage:
        """The lineage of the kept boxes."""
        search = self.search
        if search is None or self.last is None:
            return Lineage(sources=(), displaced={})
        keep = partial(search.annealing.keep, round=self.last, asked=search.looked)
        return trace_box(keep, search.union, search.kept)

    @cached_property
    def derived(self) -> list[int | None]:
        """For each box of the labels the matching kept box; each is used at most once."""
        found, out, free = self.row.instances, list[int | None](), np.ones(len(self.kept), bool)
        for box, label in zip(found.boxes, found.labels, strict=True):
            away = np.abs(self.kept.boxes - box).max(axis=1, initial=0)
            away[~free | (self.kept.labels != label)] = np.inf
            nearest = int(away.argmin()) if len(away) else -1
            taken = nearest if nearest >= 0 and away[nearest] <= _SAME_BOX else None
            if taken is not None:
                free[taken] = False
            out.append(taken)
        return out

    def box(self, index: int) -> BoxOrigin:
        """Explain one box of the labels."""
        found, kept = self.row.instances, self.derived[index]
        round = int(found.rounds[index])
        thresholds = {round.index: round.conf_threshold for stage in self.plan.recipe.stages for round in stage.rounds}
        return BoxOrigin(
            index=index,
            bbox=_corners(found, index, decimals=BOX_DECIMALS),
            phrase=self.row.prompt.phrases[found.labels[index]],
            score=_rounded(found.scores[index], SCORE_DECIMALS),
            round=round,
            asked=found.asked[index] if found.asked else None,
            threshold=thresholds.get(round),
            given=found.given[index] or None if found.given else None,
            derived=None if kept is None else _corners(self.kept, kept),
            sources=self.entered(self.lineage.sources[kept] if kept is not None else ()),
            displaced=self.entered(self.lineage.displaced_by(kept) if kept is not None else ()),
            mask=self.mask(index),
            verdict=self.verdicts[index],
            verified=found.verdicts[index] if found.verdicts else None,
            expression=found.expressions[index] if found.expressions else None,
            support=found.support[index] if found.support else None,
        )

    def mask(self, index: int) -> MaskOrigin | None:
        """Return the labeler that made a box's mask."""
        masks = self.row.instances.masks
        stage = next((stage for stage in reversed(self.plan.recipe.stages) if stage.gives == "masks"), None)
        if stage is None or masks is None or masks[index] is None:
            return None
        return MaskOrigin(labeler=stage.labeler.type, weights={file.name: file.sha256 for file in stage.weights.files})

    def entered(self, indices: Sequence[int]) -> tuple[Candidate, ...]:
        """Return candidates of the union, best first."""
        if self.search is None or not indices:
            return ()
        union = self.search.union
        ranked = sorted(indices, key=lambda index: -float(union.scores[index]))
        return tuple(self.candidate(union, index, round=int(union.rounds[index])) for index in ranked)

    def candidate(self, found: Instances, index: int, *, round: int | None) -> Candidate:
        """Return one candidate; labels index the row's phrases."""
        phrase = self.row.prompt.phrases[found.labels[index]]
        score, asked = _rounded(found.scores[index], _DECIMALS), found.asked[index] if found.asked else None
        look = found.looks[index] if found.looks else None
        return Candidate(bbox=_corners(found, index), phrase=phrase, score=score, round=round, asked=asked, look=look)

    def unfound(self) -> Iterator[Unfound]:
        """Yield the phrases that have no box, with their best candidates."""
        if self.search is None:
            return
        have = set(self.row.instances.labels.tolist())
        lowest = min(round.conf_threshold for round in self.search.annealing.rounds)
        for label, phrase in enumerate(self.row.prompt.phrases):
            if label not in have:
                best, by = self.best(label)
                yield Unfound(phrase=phrase, threshold=lowest, best=best, displaced_by=by)

    def best(self, label: int) -> tuple[Candidate | None, int | None]:
        """Return a phrase's highest-scoring candidate, and, if it entered, the box that replaced it."""
        assert self.search is not None
        union = self.search.union
        if len(own := np.flatnonzero(union.labels == label)):
            index = int(own[union.scores[own].argmax()])
            return self.candidate(union, index, round=int(union.rounds[index])), self.in_place_of(index)
        answers = [answer.found.take(answer.found.labels == label) for answer in self.search.answers.values()]
        found = Instances.concatenate(answers)
        return (self.candidate(found, int(found.scores.argmax()), round=None), None) if len(found) else (None, None)

    def in_place_of(self, candidate: int) -> int | None:
        """Return the box of the labels that a candidate was merged into, or that suppressed it."""
        merged = (box for box, part in enumerate(self.lineage.sources) if candidate in part)
        kept = next(merged, self.lineage.displaced.get(candidate))
        return self.derived.index(kept) if kept is not None and kept in self.derived else None


def _corners(found: Instances, index: int, *, decimals: int = _DECIMALS) -> Box:
    """Return one box as plain numbers."""
    return tuple(_rounded(value, decimals) for value in found.boxes[index])


def _rounded(value: np.float32, decimals: int) -> float:
    """Return a number rounded for JSON."""
    return round(float(value), decimals)
