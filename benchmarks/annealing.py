"""Measure what rounds bring: one round, TAO's rule and ``ask: all`` on photos with true boxes, at equal precision.

The model is asked once for each photo and set of phrases; every way of annealing is played on those answers. Without
options the twelve photos of the repository are used. The numbers of docs/annealing.md are made by ``make annealing``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from autolabel.evaluate.matching import count_classes, count_rounds, match_boxes
from autolabel.evaluate.scenes import gather_scenes
from autolabel.images import read_pixels
from autolabel.registry import discover
from autolabel.run.anneal import Annealing, Search
from autolabel.strategies import Aggregator, Detector
from autolabel.types import Image, Instances, Labels, Prompt, Round, Sample

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "docs" / "plots" / "annealing.json"
CLASSES = ("red blood cell", "white blood cell", "platelet")
AGGREGATORS: dict[str, dict[str, Any]] = {"nms": {"threshold": 0.5}, "dbscan": {"eps": 0.5}}
START, END, STEP = 0.5, 0.1, 0.025
PRECISIONS = (0.9, 0.85, 0.8, 0.7)
IOU = 0.5
Rule = Literal["once", "missing", "all"]
RULES: dict[Rule, str] = {"once": "one round", "missing": "`ask: missing`", "all": "`ask: all`"}
Ask = Callable[[tuple[str, ...]], Instances]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of annealing: a rule, an aggregator, and the thresholds of its rounds."""

    rule: Rule
    aggregator: str
    levels: tuple[float, ...]

    def annealing(self, aggregator: Aggregator) -> Annealing:
        """Return what the loop needs to know."""
        rounds = [Round(index=index, conf_threshold=level) for index, level in enumerate(self.levels)]
        return Annealing(rounds, aggregator, "missing" if self.rule == "missing" else "all")


@dataclass(frozen=True, slots=True)
class Point:
    """What a way found on all photos."""

    rule: Rule
    aggregator: str
    end: float
    """Threshold of the last round."""
    true: int
    found: int
    right: int
    rounds: tuple[tuple[float, int, int], ...]
    """Threshold, right and wrong boxes of each round that found any."""

    @property
    def precision(self) -> float:
        """Share of the boxes that are right; 1 where there are none."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true objects that were found."""
        return self.right / self.true


def levels(start: float, end: float) -> tuple[float, ...]:
    """Return thresholds from ``start`` down to ``end``, STEP apart, without the dust of binary fractions."""
    return tuple(round(start - STEP * index, 4) for index in range(round((start - end) / STEP) + 1))


def ways() -> Iterator[Way]:
    """Yield every way that is measured: single rounds from 0.9 down, and rounds from 0.5 to every end."""
    for aggregator in AGGREGATORS:
        yield from (Way("once", aggregator, (level,)) for level in levels(0.9, END))
        rules: tuple[Rule, ...] = ("missing", "all")
        for rule in rules:
            yield from (Way(rule, aggregator, levels(START, end)) for end in levels(START, END))


def search(annealing: Annealing, sample: Sample, ask: Ask) -> Instances:
    """Return what is kept of one photo."""
    one = Search(sample.prompt, sample.image.size, annealing)
    while (question := one.next_query()) is not None:
        one.record_answer(question, ask(question.phrases))
    return one.result()


def measure(detector: Detector, samples: Sequence[Sample], truth: Path) -> list[Point]:
    """Play every way on every photo and compare with the true boxes of a COCO file."""
    registry = discover()
    makers = {name: registry.get("aggregator", name).strategy for name in AGGREGATORS}
    chosen = {name: maker(maker.Params.model_validate(AGGREGATORS[name])) for name, maker in makers.items()}
    kept: dict[Way, list[Labels]] = {way: [] for way in ways()}
    for number, sample in enumerate(samples, 1):
        ask = asked(detector, sample)
        for way, rows in kept.items():
            aggregator = chosen[way.aggregator]
            assert isinstance(aggregator, Aggregator)
            found = search(way.annealing(aggregator), sample, ask)
            rows.append(Labels(image=sample.image, prompt=sample.prompt, instances=found))
        if number % 10 == 0:
            print(f"{number} of {len(samples)} photos", file=sys.stderr, flush=True)
    return [point(way, rows, truth) for way, rows in kept.items()]


def asked(detector: Detector, sample: Sample) -> Ask:
    """Return a function from phrases to candidates that asks the model once for each set of phrases."""
    [item] = detector.prepare([detector.preprocess(sample)])

    @cache
    def ask(phrases: tuple[str, ...]) -> Instances:
        [found] = detector.detect([item], [Prompt(phrases)], END)
        assert isinstance(found, Instances)
        return found

    return ask


def point(way: Way, rows: Sequence[Labels], truth: Path) -> Point:
    """Return what a way found, counted."""
    shared = gather_scenes(rows, truth)
    matches = [match_boxes(scene, IOU) for scene in shared.scenes]
    counts = count_classes(shared.scenes, matches, shared.classes)
    true, found, right = (sum(getattr(one, name) for one in counts) for name in ("true", "found", "right"))
    rounds = tuple((way.levels[one.round], one.right, one.wrong) for one in count_rounds(shared.scenes, matches))
    return Point(way.rule, way.aggregator, way.levels[-1], true, found, right, rounds)


def photos(folder: Path, truth: Path) -> list[Sample]:
    """Return the photos that the COCO file names, each asked for all classes."""
    names = sorted(image["file_name"] for image in msgspec.json.decode(truth.read_bytes())["images"])
    pixels = {name: read_pixels(folder / name) for name in names}
    return [
        Sample(
            image=Image(id=name, path=str(folder / name), size=array.shape[:2]),
            pixels=array,
            prompt=Prompt(CLASSES),
            instances=Instances.empty(),
        )
        for name, array in pixels.items()
    ]


def load(checkpoint: str) -> Detector:
    """Return Grounding DINO with its weights on the CPU."""
    strategy = discover().get("labeler", "grounding_dino").strategy
    detector = strategy(strategy.Params.model_validate({"checkpoint": checkpoint}))
    assert isinstance(detector, Detector)
    detector.load("cpu")
    return detector


def of(points: Sequence[Point], rule: Rule, aggregator: str) -> list[Point]:
    """Return the points of one rule with one aggregator, from the highest last threshold down."""
    chosen = [one for one in points if (one.rule, one.aggregator) == (rule, aggregator)]
    return sorted(chosen, key=lambda one: -one.end)


def equal_precision(points: Sequence[Point]) -> Iterator[tuple[str, ...]]:
    """Yield rows: rule, aggregator, and the best recall at each of PRECISIONS or above, with its last threshold."""
    for rule in RULES:
        for aggregator in AGGREGATORS:
            cells = []
            for least in PRECISIONS:
                good = [one for one in of(points, rule, aggregator) if one.precision >= least and one.found]
                best = max(good, key=lambda one: one.recall, default=None)
                cells.append(f"{best.recall:.3f} ({best.end:g})" if best else "none")
            yield RULES[rule], aggregator, *cells


def fixed_points(points: Sequence[Point]) -> Iterator[tuple[str, ...]]:
    """Yield rows: precision and recall of each rule where its rounds end, beside one round at 0.5."""
    ends: dict[Rule, float] = {"once": START, "missing": END, "all": END}
    for rule, end in ends.items():
        for aggregator in AGGREGATORS:
            [one] = [one for one in of(points, rule, aggregator) if one.end == end]
            yield RULES[rule], aggregator, f"{end:g}", str(one.found), f"{one.precision:.3f}", f"{one.recall:.3f}"


def by_round(points: Sequence[Point], aggregator: str) -> Iterator[tuple[str, ...]]:
    """Yield rows: what each round of ``ask: all`` added, and precision and recall up to it."""
    last = of(points, "all", aggregator)[-1]
    right = wrong = 0
    for level, good, bad in last.rounds:
        right, wrong = right + good, wrong + bad
        yield f"{level:g}", str(good), str(bad), f"{right / (right + wrong):.3f}", f"{right / last.true:.3f}"


def same_as_once(points: Sequence[Point], aggregator: str) -> bool:
    """Tell whether ``ask: all`` found, at every last threshold, as many boxes and as many right ones as one round."""
    once = {one.end: (one.found, one.right) for one in of(points, "once", aggregator)}
    return all(once[one.end] == (one.found, one.right) for one in of(points, "all", aggregator))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, ["---"] * len(headings), *rows))


def ends_table(points: Sequence[Point]) -> str:
    """Return the table of what each rule finds where its rounds end."""
    return table(("rule", "aggregator", "last threshold", "boxes", "precision", "recall"), fixed_points(points))


def equal_table(points: Sequence[Point]) -> str:
    """Return the table of recall at equal precision."""
    headings = [f"precision ≥ {least:g}" for least in PRECISIONS]
    return table(("recall (last threshold)", "aggregator", *headings), equal_precision(points))


def rounds_table(points: Sequence[Point], aggregator: str = "nms") -> str:
    """Return the table of the round that the boxes of ``ask: all`` needed."""
    return table(("round at", "right", "wrong", "precision so far", "recall so far"), by_round(points, aggregator))


def read(path: Path = RECORD) -> tuple[int, list[Point]]:
    """Return the number of photos and the points of the last measurement that was kept."""
    record = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    return record["photos"], msgspec.convert(record["points"], list[Point])


def main() -> None:
    """Measure, print the tables, and keep the numbers for the documentation where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=HERE.parent / "examples" / "bccd" / "images")
    parser.add_argument("--truth", type=Path, default=HERE.parent / "examples" / "bccd" / "boxes.json")
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--write", action="store_true", help="keep the numbers for the documentation's tables and plot")
    given = parser.parse_args()
    samples = photos(given.photos, given.truth)
    points = measure(load(given.checkpoint), samples, given.truth)
    if given.write:
        record = {"photos": len(samples), "checkpoint": given.checkpoint, "points": points}
        RECORD.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    print(f"{len(samples)} photos, {points[0].true} true boxes")
    for made in (ends_table, equal_table, rounds_table):
        print(f"\n{made(points)}")
    same = all(same_as_once(points, aggregator) for aggregator in AGGREGATORS)
    print(f"\n`ask: all` equals one round at each last threshold: {'yes' if same else 'no'}")


if __name__ == "__main__":
    main()
