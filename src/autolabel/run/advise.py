"""Compare looks, aggregators and last thresholds on cached candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.data import inputs
from autolabel.detectors import Looks, Voting
from autolabel.errors import DataError, SpecError
from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.scenes import gather_scenes
from autolabel.plan.compile import Compiled
from autolabel.registry import Registry
from autolabel.results.checked import truth_at
from autolabel.run.anneal import Annealing, Search
from autolabel.run.candidates import CandidateStore, ImageMemory, content_of
from autolabel.run.stage import make_annealing
from autolabel.storage import Location
from autolabel.strategies import Aggregator
from autolabel.types import Labels

_AGGREGATORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("nms", {"threshold": 0.5}),
    ("wbf", {"threshold": 0.5}),
    ("dbscan", {"eps": 0.3}),
)
_RESAMPLES = 300
_CONFIDENCE = 0.95
_Int64 = npt.NDArray[np.int64]
_Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One setting of a stage."""

    looks: tuple[str, ...]
    """The looks; empty for the original image only."""
    spend: str
    score: str
    aggregator: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The results of one setting on the checked images, and its cost."""

    way: Way
    passes: float
    """Forward passes an image and caption, where each question takes one."""
    threshold: float | None
    """The score threshold with the requested precision and the highest recall; None if there is none."""
    recall: float
    low: float
    high: float
    """``low`` and ``high`` are the 95 % bootstrap interval of recall at the wanted precision."""
    worse: tuple[float, float]
    """The 95 % interval of the best setting's recall minus this one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """All settings that cached candidates cover, the cheapest first, and the recommended one."""

    precision: float
    iou: float
    images: int
    true: int
    ways: tuple[Measured, ...]
    chosen: int | None
    """The place of the cheapest way that is not shown to be worse than the best; None if no way is that precise."""
    classes: tuple[str, ...]
    start: float
    """Threshold of the spec's first round."""
    floor: float
    """The lowest threshold of the spec's rounds: what scores less was not looked at."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _RankedByImage:
    """N boxes by image, with whether they are right, and how many true ones each image has."""

    images: _Int64
    scores: _Float64
    right: npt.NDArray[np.bool_]
    true: _Int64


def advise(
    compiled: Compiled, truth: str | Location, *, precision: float, iou: float = 0.5, registry: Registry
) -> Advice:
    """Simulate every setting on the candidates cached by ``run.candidates`` for the checked images; runs no detector.

    ``truth`` is a COCO file, or a run with checked images. Raises SpecError if the spec caches no candidates or its
    first stage finds no boxes, DataError if nothing is cached, or spec and truth share nothing.
    """
    stage = compiled.plan.recipe.stages[0]
    candidates = CandidateStore.of(compiled.plan, stage)
    annealing = make_annealing(stage, compiled.plan.recipe.ontology, registry)
    if candidates is None or annealing is None:
        hint = "set run.candidates, and generate once with the looks that are to be compared"
        raise SpecError("--advise needs cached candidates, and this spec caches none", hint=hint)
    manifest = compiled.plan.manifest
    rows = [manifest.placed(inputs.decode_input(line)).labels(manifest.classes) for line in compiled.rows]
    with truth_at(truth) as file:
        empty = gather_scenes(rows, file)
        checked = set(empty.image_of.values())
        asked = [row for row in rows if row.image.id in checked and row.prompt.phrases]
        failed = [row for row in asked if row.reason is not None]
        memories = [
            (row, ImageMemory(candidates, content_of(row), row.image.size, annealing.floor))
            for row in asked
            if row.reason is None
        ]
        if failed and not memories:
            first = failed[0].reason
            raise DataError(f"no checked image can be read, so there is nothing to compare: {first and first.message}")
        ways = list(_ways(annealing))
        changed = [_changed(annealing, way, registry) for way in ways]
        known = [(row, memory) for row, memory in memories if _searched(row, memory, changed[0]) is not None]
        played: list[tuple[Way, _RankedByImage, float]] = []
        missing: set[str] = set()
        for way, annealing_of_way in zip(ways, changed, strict=True):
            made = _labels(known, annealing_of_way)
            if made is None:
                missing.update(way.looks or ("plain",))
            else:
                labels, passes = made
                played.append((way, found_in([*labels, *failed], file, iou), passes))
    if not played:
        raise DataError("no candidates of the checked images are cached", hint="generate with this spec first")
    notes = list(empty.notes)
    if len(known) < len(memories):
        notes.append(f"{len(memories) - len(known)} checked image(s) left out: no candidates of them are kept")
    if missing:
        notes.append(
            f"not compared, because their candidates are not cached: settings that need {', '.join(sorted(missing))}"
        )
    measured = compare(played, precision)
    return Advice(
        precision=precision,
        iou=iou,
        images=len(played[0][1].true),
        true=int(played[0][1].true.sum()),
        ways=tuple(measured),
        chosen=cheapest(measured),
        classes=compiled.plan.manifest.classes,
        start=annealing.rounds[0].conf_threshold,
        floor=annealing.floor,
        notes=tuple(notes),
    )


def _ways(annealing: Annealing) -> Iterator[Way]:
    """Yield settings with the first one, two, three ... looks of the stage, with every way of spending and scoring."""
    names = tuple(name for name in annealing.looks.names if name is not None)
    for aggregator, params in _AGGREGATORS:
        yield Way(looks=names[:1], spend="every", score="vote", aggregator=aggregator, params=params)
    for count, spend, score in product(range(2, len(names) + 1), ("every", "by_round"), ("vote", "mean", "noisy_or")):
        if spend == "every" or (annealing.looks.doubt is not None and len(annealing.rounds) >= count):
            for aggregator, params in _AGGREGATORS:
                yield Way(looks=names[:count], spend=spend, score=score, aggregator=aggregator, params=params)


def _changed(annealing: Annealing, way: Way, registry: Registry) -> Annealing:
    """Return the stage's annealing with another setting: a single round, unless looks are spent by round."""
    aggregator: Aggregator = registry.make("aggregator", way.aggregator, way.params)
    if isinstance(annealing.aggregator, Voting):
        aggregator = Voting(aggregator, annealing.aggregator.vote)
    by_round = way.spend == "by_round"
    rounds = annealing.rounds if by_round else [replace(annealing.rounds[-1], conf_threshold=annealing.floor)]
    rule = annealing.looks.agreement
    looks = Looks(
        way.looks or (None,),
        None if rule is None else replace(rule, score=way.score),  # type: ignore[arg-type]
        annealing.looks.doubt if by_round else None,
    )
    return replace(annealing, rounds=rounds, aggregator=aggregator, ask="all", looks=looks)


def _searched(row: Labels, memory: ImageMemory, annealing: Annealing) -> Search | None:
    """Return a finished search from cached candidates; None if the cache lacks some."""
    search = Search(row.prompt, row.image.size, annealing, memory=memory)
    return search if search.next_query() is None else None


def _labels(known: Sequence[tuple[Labels, ImageMemory]], annealing: Annealing) -> tuple[list[Labels], float] | None:
    """Return the labels of rows by kept candidates, with forward passes a row; None unless all of them can be had."""
    searches = [_searched(row, memory, annealing) for row, memory in known]
    done = [search for search in searches if search is not None]
    if not done or len(done) < len(known):
        return None
    labels = [replace(row, instances=search.result()) for (row, _), search in zip(known, done, strict=True)]
    return labels, float(np.mean([len(search.answers) for search in done]))


def found_in(labels: Sequence[Labels], truth: Location, iou: float) -> _RankedByImage:
    """Judge the boxes of labels."""
    scenes = gather_scenes(labels, truth).scenes
    matches = [match_boxes(scene, iou) for scene in scenes]
    keep = [matched != IGNORED for matched in matches]
    return _RankedByImage(
        images=np.concatenate([np.full(int(kept.sum()), place) for place, kept in enumerate(keep)]),
        scores=np.concatenate([scene.scores[kept] for scene, kept in zip(scenes, keep, strict=True)]),
        right=np.concatenate([one[kept] >= 0 for one, kept in zip(matches, keep, strict=True)]),
        true=np.array([int((~scene.crowds).sum()) for scene in scenes], np.int64),
    )


def compare(played: Iterable[tuple[Way, _RankedByImage, float]], precision: float) -> list[Measured]:
    """Measure every setting on the same bootstrap samples of images; returns the cheapest first."""
    played = list(played)
    images = len(played[0][1].true)
    random = np.random.default_rng(0)
    draws = random.multinomial(images, np.full(images, 1 / images), _RESAMPLES)
    points = [reached(found, np.ones(images, np.int64), precision) for _, found, _ in played]
    spread = np.array([[reached(found, draw, precision)[0] for draw in draws] for _, found, _ in played])
    best = int(np.argmax([recall for recall, _ in points]))
    tail = (1 - _CONFIDENCE) / 2
    out = []
    for (way, _, passes), (recall, threshold), drawn in zip(played, points, spread, strict=True):
        low, high = np.quantile(drawn, [tail, 1 - tail]).tolist()
        least, most = np.quantile(spread[best] - drawn, [tail, 1 - tail]).tolist()
        out.append(
            Measured(
                way=way, passes=passes, threshold=threshold, recall=recall, low=low, high=high, worse=(least, most)
            )
        )
    return sorted(out, key=lambda one: (one.passes, -one.recall))


def reached(found: _RankedByImage, times: _Int64, precision: float) -> tuple[float, float | None]:
    """Return the best recall with at least ``precision``, and its score threshold; images count ``times`` each."""
    order = np.argsort(-found.scores, kind="stable")
    weight = times[found.images[order]]
    right, all_of_them = np.cumsum(weight * found.right[order]), np.cumsum(weight)
    scores = found.scores[order]
    ends = np.append(scores[1:] != scores[:-1], True) if len(scores) else np.zeros(0, bool)
    good = np.flatnonzero(ends & (right >= precision * all_of_them) & (all_of_them > 0))
    total = int((times * found.true).sum())
    if not len(good) or not total:
        return 0.0, None
    last = int(good[right[good].argmax()])
    return float(right[last] / total), float(scores[last])


def cheapest(measured: Sequence[Measured]) -> int | None:
    """Return the index of the cheapest setting whose recall is not significantly below the best."""
    good = [place for place, one in enumerate(measured) if one.threshold is not None and one.worse[0] <= 0]
    if not good:
        return None
    least = min(measured[place].passes for place in good)
    return max((place for place in good if measured[place].passes == least), key=lambda place: measured[place].recall)
