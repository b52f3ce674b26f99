"""Draw the pictures of each dev set on which a checkpoint is wrong most: what it found, mistook and missed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from autolabel.types.boxes import iou
from autolabel.types.suppression import suppress
from autolabel_training.metric import IOU, Detections
from autolabel_training.recipe import read

from .checkpoint import Checkpoint
from .config import Recipe
from .data import Data
from .evaluate import PictureAnswers, answers_of
from .features import SCENES
from .pictures import Picture, dev_pictures
from .validate import NMS

SIDE = 320
FOUND, WRONG, MISSED = (40, 200, 80), (255, 40, 40), (255, 220, 0)
SETS = ("bccd", "nuts", "openimages5", "fruits", SCENES)

Boxes = NDArray[np.floating]


@dataclass(frozen=True)
class Verdict:
    """Boxes (n, 4) of one phrase in one picture, x0, y0, x1, y1 in 0..1: hits, mistakes, true boxes not found."""

    found: Boxes
    wrong: Boxes
    missed: Boxes


def verdict(answers: Detections, threshold: float) -> Verdict:
    """Judge the detections at or above a score, with NMS: best first, each true box is found once at most."""
    scored = answers.scores >= threshold
    boxes, scores = answers.boxes[scored], answers.scores[scored]
    boxes = boxes[suppress(boxes, np.argsort(-scores, kind="stable"), threshold=NMS)]
    overlaps = iou(boxes, answers.truth)
    free = np.ones(len(answers.truth), bool)
    hit = np.zeros(len(boxes), bool)
    for number, row in enumerate(overlaps):
        row = np.where(free, row, 0.0)
        if free.any() and row.max() >= IOU:
            free[row.argmax()], hit[number] = False, True
    return Verdict(boxes[hit], boxes[~hit], answers.truth[free])


def errors(verdicts: dict[str, Verdict]) -> float:
    """Return mistakes and misses as a part of all boxes drawn; 0 where there are none."""
    wrong = sum(len(each.wrong) + len(each.missed) for each in verdicts.values())
    return wrong / max(1, wrong + sum(len(each.found) for each in verdicts.values()))


def tile(picture: Picture, verdicts: dict[str, Verdict]) -> Image.Image:
    """Return the picture, SIDE pixels square, with green, red and yellow boxes; wrong ones carry their phrase."""
    image = Image.fromarray(picture.pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    for phrase, each in verdicts.items():
        for boxes, colour in ((each.found, FOUND), (each.missed, MISSED), (each.wrong, WRONG)):
            for box in boxes.clip(0, 1) * (SIDE - 1):
                draw.rectangle(box.tolist(), outline=colour, width=2)
                if colour is not FOUND:
                    draw.text((box[0] + 3, box[1] + 1), phrase, fill=colour, stroke_width=1, stroke_fill="black")
    return image


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Return one picture of rows of tiles."""
    width = max(len(row) for row in rows)
    result = Image.new("RGB", (width * SIDE, len(rows) * SIDE), "white")
    for down, row in enumerate(rows):
        for across, each in enumerate(row):
            result.paste(each, (across * SIDE, down * SIDE))
    return result


def worst(judged: list[tuple[Picture, dict[str, Verdict]]], count: int) -> list[Image.Image]:
    """Return tiles of the pictures with the largest part of errors."""
    order = sorted(range(len(judged)), key=lambda number: -errors(judged[number][1]))
    return [tile(*judged[number]) for number in order[:count]]


def judge_all(answers: PictureAnswers, threshold: float) -> dict[str, Verdict]:
    """Judge every phrase of a picture."""
    return {phrase: verdict(each, threshold) for phrase, each in answers.items()}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--coco", type=Path, help="your COCO file, for the set `own`")
    parser.add_argument("--images", type=Path, help="folder of its photos (default: the file's folder)")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--recipe", type=Path, default=Path("training/detector.yaml"), help="how scenes are drawn")
    parser.add_argument("--scenes", type=int, default=60, help="number of generated scenes")
    parser.add_argument("--threshold", type=float, default=0.3, help="score from which a detection counts")
    parser.add_argument("--columns", type=int, default=3, help="pictures of each set")
    parser.add_argument("--out", type=Path, required=True, help="picture file to write, .jpg or .png")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoint, recipe = Checkpoint(options.checkpoint), read(Recipe, options.recipe)
    data = Data(options.data, options.coco, options.images)
    rows = []
    for dataset in options.sets:
        pictures = dev_pictures(recipe, data, dataset, scenes=options.scenes)
        judged = [(each, judge_all(answers_of(checkpoint, each), options.threshold)) for each in pictures]
        rows.append(worst(judged, options.columns))
    sheet(rows).save(options.out)


if __name__ == "__main__":
    main()
