"""Measure what looks bring: one look, TAO's rule, ``ask: all``, looks in every round and by round, at equal precision.

The model is asked once for each photo, look and set of phrases; every way is played on those answers. Data sets are
folders with ``images/`` and ``dev.json``; without any, the twelve photos of the repository are used. The numbers of
docs/annealing.md are made by ``make looks``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from autolabel.detectors import Agreement, Looking, Looks
from autolabel.evaluate.precision import average_precision
from autolabel.evaluate.probability import JudgedBoxes, chance, fit, judged, reliability
from autolabel.evaluate.scenes import gather_scenes
from autolabel.images import read_pixels
from autolabel.registry import discover
from autolabel.run.advise import found_in, reached
from autolabel.run.anneal import Annealing, Search
from autolabel.spec.looks import DoubtSpec
from autolabel.storage import at
from autolabel.strategies import Detector
from autolabel.types import Image, Instances, Labels, Prompt, Round, Sample

HERE = Path(__file__).resolve().parent
RECORD = HERE.parent / "docs" / "plots" / "looks.json"
FLOOR = 0.03
LOOKS = ("plain", "mirror", "flip")
PRECISIONS = (0.9, 0.85, 0.8, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)
SHOWN = 3
"""Precisions in a table and a plot: the highest that every way of the set reaches, with a recall of LEAST."""
LEAST = 0.01
IOU = 0.5
AGREEMENT = Agreement(score="vote", iou=0.5, labelers=1)
Ask = Callable[[Prompt], Instances]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of finding boxes."""

    name: str
    thresholds: tuple[float, ...]
    ask: Literal["missing", "all"] = "all"
    looks: Looks = field(default_factory=Looks)


def ways() -> list[Way]:
    """Return what is measured: thresholds fall from 0.3 to the floor, which keeps nearly all that can be right."""
    falling = (0.3, 0.1, FLOOR)
    doubt = DoubtSpec().doubt()
    return [
        Way("one look", (FLOOR,)),
        Way("`ask: missing` (TAO)", (0.5, 0.3, 0.1, FLOOR), "missing"),
        Way("`ask: all`", falling),
        Way("two looks, every round", falling, looks=Looks(LOOKS[:2], AGREEMENT)),
        Way("three looks, every round", falling, looks=Looks(LOOKS, AGREEMENT)),
        Way("three looks, by round", falling, looks=Looks(LOOKS, AGREEMENT, doubt)),
        Way("three looks, mean", falling, looks=Looks(LOOKS, replace(AGREEMENT, score="mean"))),
        Way("three looks, noisy-or", falling, looks=Looks(LOOKS, replace(AGREEMENT, score="noisy_or"))),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a way found in the photos of a set."""

    data: str
    photos: int
    way: str
    passes: float
    """Forward passes a photo."""
    ap50: float
    ap: float
    recalls: tuple[float, ...]
    """At each of PRECISIONS, all classes together."""
    error: float
    """D-ECE of the scores, in every second photo."""
    calibrated: float
    """The same of the chances that `autolabel calibrate --scores` would learn from the other photos."""


def measure(name: str, samples: Sequence[Sample], truth: Path, asks: Sequence[Ask]) -> Iterator[Row]:
    """Play every way on the answers of a set of photos."""
    aggregator = discover().make("aggregator", "nms", {})
    for way in ways():
        rounds = [Round(index=index, conf_threshold=level) for index, level in enumerate(way.thresholds)]
        annealing = Annealing(rounds, aggregator, way.ask, looks=way.looks)
        labels, passes = [], 0
        for sample, ask in zip(samples, asks, strict=True):
            search = Search(sample.prompt, sample.image.size, annealing)
            while (question := search.next_query()) is not None:
                search.record_answer(question, ask(question))
            labels.append(Labels(image=sample.image, prompt=sample.prompt, instances=search.result()))
            passes += len(search.answers)
        yield row(name, way.name, labels, truth, passes / len(samples))


def row(name: str, way: str, labels: Sequence[Labels], truth: Path, passes: float) -> Row:
    """Judge the labels of a way."""
    shared = gather_scenes(labels, at(truth))
    measured = average_precision(shared.scenes, shared.classes, "bbox")
    found = found_in(labels, at(truth), IOU)
    once = np.ones(len(found.true), np.int64)
    before, after = held_back(judged(shared.scenes, shared.classes, iou=IOU))
    return Row(
        data=name,
        photos=len(labels),
        way=way,
        passes=passes,
        ap50=measured.ap50 or 0,
        ap=measured.ap or 0,
        recalls=tuple(reached(found, once, precision)[0] for precision in PRECISIONS),
        error=before,
        calibrated=after,
    )


def held_back(boxes: JudgedBoxes) -> tuple[float, float]:
    """Return the D-ECE of every second photo's boxes: of their scores, and of chances learnt from the other photos."""
    held = boxes.images % 2 == 1
    there, learnt = boxes.take(held), fit(boxes.take(~held), method="logistic")
    return reliability(there.scores, there.right).error, reliability(chance(learnt, there), there.right).error


def asked(detector: Detector, sample: Sample) -> Ask:
    """Return a function from prompts to candidates that asks the model once for each set of phrases and look."""
    [item] = detector.prepare([detector.preprocess(sample)])

    @cache
    def ask(prompt: Prompt) -> Instances:
        [found] = detector.detect([item], [prompt], FLOOR)
        assert isinstance(found, Instances)
        return found

    return ask


def photos(folder: Path, truth: Path) -> list[Sample]:
    """Return the photos that the COCO file names, each asked for all of its classes."""
    document: Mapping[str, Any] = msgspec.json.decode(truth.read_bytes())
    classes = tuple(category["name"] for category in document["categories"])
    samples = []
    for name in sorted(image["file_name"] for image in document["images"]):
        pixels = read_pixels(folder / name)
        image = Image(id=name, path=str(folder / name), size=(pixels.shape[0], pixels.shape[1]))
        samples.append(Sample(image=image, pixels=pixels, prompt=Prompt(classes), instances=Instances.empty()))
    return samples


def load(checkpoint: str) -> Detector:
    """Return Grounding DINO that sees images in LOOKS, with its weights on the CPU."""
    registry = discover()
    inner = registry.make("labeler", "grounding_dino", {"checkpoint": checkpoint})
    assert isinstance(inner, Detector)
    detector = Looking(inner, {name: registry.make("look", name, {}) for name in LOOKS}, ahead=0)
    detector.load("cpu")
    return detector


def shown(rows: Sequence[Row]) -> list[int]:
    """Return the places in PRECISIONS of what is shown of a set: the highest that every way reaches."""
    good = [place for place in range(len(PRECISIONS)) if all(one.recalls[place] >= LEAST for one in rows)]
    return good[:SHOWN] or list(range(SHOWN))


def table(rows: Sequence[Row]) -> str:
    """Return the rows of one set as a Markdown table."""
    places = shown(rows)
    recalls = (f"recall at {PRECISIONS[place]:g}" for place in places)
    head = ("way", "passes a photo", "AP50", "AP", *recalls, "D-ECE", "calibrated")
    lines = [
        (
            one.way,
            f"{one.passes:.2f}",
            *(f"{value:.3f}" for value in (one.ap50, one.ap)),
            *(f"{one.recalls[place]:.3f}" for place in places),
            *(f"{value:.3f}" for value in (one.error, one.calibrated)),
        )
        for one in rows
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def read(path: Path = RECORD) -> list[Row]:
    """Return the rows of the last measurement that was kept."""
    return msgspec.json.decode(path.read_bytes(), type=list[Row])


def keep(rows: Sequence[Row], path: Path = RECORD) -> None:
    """Write the rows of some sets down; those of other sets stay."""
    measured = {row.data for row in rows}
    others = [row for row in read(path) if row.data not in measured] if path.exists() else []
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*others, *rows]), indent=1) + b"\n")


def main() -> None:
    """Measure, print the tables, and keep the numbers for the documentation where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", type=Path, help="folders with images/ and dev.json")
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--write", action="store_true", help="keep the numbers for the documentation's tables and plot")
    given = parser.parse_args()
    example = HERE.parent / "examples" / "bccd"
    sets = [(one.name, one / "images", one / "dev.json") for one in given.sets]
    sets = sets or [("examples", example / "images", example / "boxes.json")]
    detector, rows = load(given.checkpoint), list[Row]()
    for name, folder, truth in sets:
        samples = photos(folder, truth)
        print(f"{name}: {len(samples)} photos", file=sys.stderr, flush=True)
        mine = list(measure(name, samples, truth, [asked(detector, sample) for sample in samples]))
        print(f"\n{name}, {len(samples)} photos\n\n{table(mine)}", flush=True)
        rows += mine
    if given.write:
        keep(rows)


if __name__ == "__main__":
    main()
