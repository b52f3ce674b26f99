"""Evaluate a checkpoint directory on photos with transformers' own classes: AP at IoU 0.5, with and without NMS."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, GroundingDinoForObjectDetection

import autolabel_grounding_dino.efficientnet  # noqa: F401  (registers the backbone)

from .augment import read_pixels
from .boxes import corners
from .captions import DEV_NEAR_MISSES
from .config import Recipe, read_recipe
from .data import category_names, load_photos
from .features import SCENES
from .metric import Answers, Judged, OperatingPoint, best_point, bootstrap_interval, judge, mean_average_precision
from .scenes import draw_scene, near_misses
from .validate import NMS, NO_NMS, PHRASE, join

Floats = NDArray[np.float32]

BOOTSTRAP_DRAWS = 1000
SEPARATOR = " . "
DELIMITERS = (101, 102, 1012)  # [CLS], [SEP] and "."


@dataclass(frozen=True)
class Picture:
    """Pixels (height, width, 3), boxes (n, 4) x0, y0, x1, y1 in 0..1 with names, and the phrases to ask for."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    names: tuple[str, ...]
    phrases: list[str]


@dataclass(frozen=True)
class Result:
    """Figures of one set: mean AP with NMS and its 95 % interval over images, without NMS, AP per phrase, and
    the score threshold of the highest F1.
    """

    dataset: str
    images: int
    boxes: int
    map50: float
    interval: tuple[float, float]
    map50_raw: float
    classes: dict[str, float]
    best_point: OperatingPoint


class Checkpoint:
    """A checkpoint directory, loaded in float32, with the pixel pipeline of its processor configuration."""

    def __init__(self, folder: Path) -> None:
        self._model = GroundingDinoForObjectDetection.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._pixels = json.loads((folder / "processor_config.json").read_text())["image_processor"]

    @torch.no_grad()
    def detect(self, pixels: NDArray[np.uint8], phrases: Sequence[str]) -> tuple[Floats, Floats]:
        """Return boxes (queries, 4) x0, y0, x1, y1 in 0..1 and scores (queries, phrases): means of token scores."""
        text = self._tokenizer(SEPARATOR.join(phrases) + " .", return_tensors="pt")
        output = self._model(pixel_values=self._prepare(pixels), **text)
        tokens = output.logits[0].sigmoid()
        spans = phrase_spans(text["input_ids"][0].tolist())
        scores = torch.stack([tokens[:, span].mean(-1) for span in spans], 1)
        return corners(output.pred_boxes[0]).numpy(), scores.numpy()

    def _prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        size = (self._pixels["size"]["width"], self._pixels["size"]["height"])
        image = Image.fromarray(pixels).resize(size, Image.Resampling(self._pixels["resample"]))
        values = np.asarray(image, np.float32) * self._pixels["rescale_factor"]
        values = (values - np.float32(self._pixels["image_mean"])) / np.float32(self._pixels["image_std"])
        return torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]


def phrase_spans(ids: Sequence[int]) -> list[list[int]]:
    """Return the token positions between delimiters, one list per phrase."""
    spans: list[list[int]] = [[]]
    for position, token in enumerate(ids):
        if token in DELIMITERS:
            spans.append([])
        else:
            spans[-1].append(position)
    return [span for span in spans if span]


def evaluate(checkpoint: Checkpoint, dataset: str, pictures: Iterator[Picture]) -> Result:
    """Ask for every phrase of every picture and judge the answers."""
    suppressed: list[dict[str, Judged]] = []
    raw: list[dict[str, Judged]] = []
    boxes = 0
    for picture in pictures:
        answers = _answers(checkpoint, picture, pooled=dataset == SCENES)
        suppressed.append({name: join([judge(each, NMS) for each in parts]) for name, parts in answers.items()})
        raw.append({name: join([judge(each, NO_NMS) for each in parts]) for name, parts in answers.items()})
        boxes += len(picture.boxes)
    values = mean_average_precision(suppressed)
    return Result(
        dataset=dataset,
        images=len(suppressed),
        boxes=boxes,
        map50=values.pop("mean"),
        interval=bootstrap_interval(suppressed, draws=BOOTSTRAP_DRAWS, seed=0),
        map50_raw=mean_average_precision(raw)["mean"],
        classes=values,
        best_point=best_point(suppressed),
    )


def photo_pictures(data: Path, dataset: str) -> Iterator[Picture]:
    """Yield the dev photos of a set, each asked for every class name of the set."""
    names = category_names(data, dataset)
    for photo in load_photos(data, dataset, "dev"):
        pixels = read_pixels(photo.path)
        unit = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32)
        yield Picture(pixels, photo.boxes / unit, photo.names, names)


def scene_pictures(recipe: Recipe, data: Path, count: int) -> Iterator[Picture]:
    """Yield fresh scenes on dev backgrounds, asked for their phrases and four near misses."""
    rng = random.Random(f"{recipe.seed}-evaluate")
    backgrounds = load_photos(data, recipe.scenes.backgrounds, "dev")
    for _ in range(count):
        background = read_pixels(rng.choice(backgrounds).path)
        scene = draw_scene(background, recipe.image_size, rng=rng, most_shapes=recipe.scenes.most_shapes)
        present = sorted(set(scene.phrases))
        phrases = present + near_misses(present, rng=rng, count=DEV_NEAR_MISSES)
        rng.shuffle(phrases)
        yield Picture(scene.pixels, scene.boxes / np.float32(recipe.image_size), scene.phrases, phrases)


def _answers(checkpoint: Checkpoint, picture: Picture, *, pooled: bool) -> dict[str, list[Answers]]:
    boxes, scores = checkpoint.detect(picture.pixels, picture.phrases)
    found: dict[str, list[Answers]] = {}
    for column, phrase in enumerate(picture.phrases):
        truth = picture.boxes[[name == phrase for name in picture.names]].reshape(-1, 4)
        found.setdefault(PHRASE if pooled else phrase, []).append(Answers(boxes, scores[:, column], truth))
    return found


def report(result: Result) -> str:
    """Return one line of figures."""
    low, high = result.interval
    classes = ", ".join(f"{name} {value:.3f}" for name, value in result.classes.items())
    point = result.best_point
    return (
        f"{result.dataset}: mAP50 {result.map50:.3f} [{low:.3f}, {high:.3f}] with NMS {NMS}, "
        f"{result.map50_raw:.3f} without; {classes}; "
        f"best F1 at score {point.threshold:.2f}: precision {point.precision:.2f}, recall {point.recall:.2f}; "
        f"{result.images} images, {result.boxes} boxes"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/tiny"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["bccd", "nuts", "openimages5", "fruits", SCENES])
    parser.add_argument("--recipe", type=Path, default=Path("training/detector.yaml"), help="how scenes are drawn")
    parser.add_argument("--scenes", type=int, default=60, help="number of generated scenes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    checkpoint = Checkpoint(options.checkpoint)
    results = []
    for dataset in options.sets:
        if dataset == SCENES:
            pictures = scene_pictures(read_recipe(options.recipe), options.data, options.scenes)
        else:
            pictures = photo_pictures(options.data, dataset)
        results.append(evaluate(checkpoint, dataset, pictures))
        print(report(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
