"""Evaluate a checkpoint directory on dev pictures: AP at IoU 0.5 with and without NMS, and what it finds where
nothing is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from autolabel_training.metric import (
    Detections,
    OperatingPoint,
    ScoredHits,
    best_point,
    bootstrap_intervals,
    bootstrap_mean,
    judge,
    mean_average_precision,
)
from autolabel_training.recipe import read

from .checkpoint import Checkpoint
from .config import Recipe
from .data import Data
from .pictures import ABSENT, SCENES_OF_KIND, Picture, dev_pictures
from .validate import NMS, NO_NMS, PHRASE, join

BOOTSTRAP_DRAWS = 1000
TRAINED_ON = ("bccd", "nuts", "cards", "aquarium", "vegetables", "nuclei", "pears", "cherries", "boards", "openimages5")
SETS = (*TRAINED_ON, "fruits", *SCENES_OF_KIND, ABSENT)

Interval = tuple[float, float]
PictureAnswers = dict[str, Detections]


@dataclass(frozen=True)
class FalseAlarms:
    """Detections of phrases that a picture does not show, at or above a score, with NMS."""

    threshold: float
    pictures: int
    """Pictures that were asked for something they do not show."""
    per_picture: float
    """Mean count over those pictures."""
    interval: Interval


@dataclass(frozen=True)
class Result:
    """Figures of one set; intervals are 95 % bootstrap intervals over pictures. None where there is no true box."""

    dataset: str
    images: int
    boxes: int
    map50: float
    interval: Interval
    map50_raw: float
    """As the model answers, without NMS."""
    interval_raw: Interval
    classes: dict[str, float]
    class_intervals: dict[str, Interval]
    best_point: OperatingPoint | None
    """Score threshold of the highest F1."""
    false_alarms: FalseAlarms | None


def evaluate(checkpoint: Checkpoint, dataset: str, pictures: Iterator[Picture], *, threshold: float) -> Result:
    """Ask for every phrase of every picture and judge the answers; false alarms count from `threshold`."""
    answers = [answers_of(checkpoint, picture) for picture in pictures]
    return figures(dataset, answers, threshold=threshold)


def answers_of(checkpoint: Checkpoint, picture: Picture) -> PictureAnswers:
    """Return the detections of every phrase asked, beside the true boxes of that phrase."""
    boxes, scores = checkpoint.detect(picture.pixels, picture.phrases)
    truths = {
        phrase: picture.boxes[[name == phrase for name in picture.names]].reshape(-1, 4) for phrase in picture.phrases
    }
    return {
        phrase: Detections(boxes, scores[:, column], truths[phrase]) for column, phrase in enumerate(picture.phrases)
    }


def figures(dataset: str, answers: Sequence[PictureAnswers], *, threshold: float) -> Result:
    """Return the figures of a set."""
    suppressed, raw = ([_judged(each, nms) for each in answers] for nms in (NMS, NO_NMS))
    pooled, pooled_raw = suppressed, raw
    if dataset in SCENES_OF_KIND:
        pooled, pooled_raw = ([{PHRASE: join(list(image.values()))} for image in images] for images in (pooled, raw))
    values = mean_average_precision(pooled)
    intervals = bootstrap_intervals(pooled, draws=BOOTSTRAP_DRAWS, seed=0, of=mean_average_precision)
    boxes = sum(judged.truths for image in pooled for judged in image.values())
    return Result(
        dataset=dataset,
        images=len(answers),
        boxes=boxes,
        map50=values.pop("mean"),
        interval=intervals.pop("mean"),
        map50_raw=mean_average_precision(pooled_raw)["mean"],
        interval_raw=bootstrap_intervals(pooled_raw, draws=BOOTSTRAP_DRAWS, seed=0, of=mean_average_precision)["mean"],
        classes=values,
        class_intervals=intervals,
        best_point=best_point(pooled) if boxes else None,
        false_alarms=_false_alarms(suppressed, threshold),
    )


def _judged(answers: PictureAnswers, nms: float) -> dict[str, ScoredHits]:
    return {phrase: judge(each, nms) for phrase, each in answers.items()}


def _false_alarms(images: Sequence[dict[str, ScoredHits]], threshold: float) -> FalseAlarms | None:
    absent = [[judged for judged in image.values() if not judged.truths] for image in images]
    counts = [sum(int((judged.scores >= threshold).sum()) for judged in image) for image in absent if image]
    if not counts:
        return None
    mean, interval = bootstrap_mean(counts, draws=BOOTSTRAP_DRAWS, seed=0)
    return FalseAlarms(threshold, len(counts), mean, interval)


def report(result: Result) -> str:
    """Return the figures of a set in a few lines."""
    lines = [f"{result.dataset}: {result.images} images, {result.boxes} boxes"]
    if point := result.best_point:
        classes = ", ".join(
            f"{name} {value:.3f} {_interval(result.class_intervals[name])}" for name, value in result.classes.items()
        )
        lines += [
            f"mAP50 {result.map50:.3f} {_interval(result.interval)} with NMS {NMS}: {classes}",
            f"mAP50 {result.map50_raw:.3f} {_interval(result.interval_raw)} as the model answers",
            f"best F1 at score {point.threshold:.2f}: precision {point.precision:.2f}, recall {point.recall:.2f}",
        ]
    if alarms := result.false_alarms:
        lines.append(
            f"phrases not shown, score >= {alarms.threshold:g}: {alarms.per_picture:.2f} "
            f"{_interval(alarms.interval)} detections a picture, over {alarms.pictures} pictures"
        )
    return "\n  ".join(lines)


def _interval(interval: Interval) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--coco", type=Path, help="your COCO file, for the set `own`")
    parser.add_argument("--images", type=Path, help="folder of its photos (default: the file's folder)")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--recipe", type=Path, default=Path("training/detector.yaml"), help="how scenes are drawn")
    parser.add_argument("--scenes", type=int, default=60, help="number of generated scenes of each kind")
    parser.add_argument("--threshold", type=float, default=0.3, help="score from which false alarms are counted")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    checkpoint, recipe = Checkpoint(options.checkpoint), read(Recipe, options.recipe)
    data = Data(options.data, options.coco, options.images)
    results = []
    for dataset in options.sets:
        pictures = dev_pictures(recipe, data, dataset, scenes=options.scenes)
        results.append(evaluate(checkpoint, dataset, pictures, threshold=options.threshold))
        print(report(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
