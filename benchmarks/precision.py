"""What ``precision: bfloat16`` costs in boxes on photos with known boxes, and what it gains in time.

In the last row the places that the decoder starts from have float32's order, which chooses the learned query of each.
What still moves is moved by rounding alone; what moves with bfloat16 beside that, by places that changed ranks.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from autolabel.executors.tuning import reuse_memory
from autolabel.types import Instances, Prompt, Round, Sample
from autolabel_aggregators.nms import Nms
from autolabel_grounding_dino.labeler import GroundingDino
from benchmarks._matched import matched
from benchmarks.gpu import made

_FLOOR = 0.05
_PRECISIONS = {"float32": "float32", "bfloat16": "bfloat16", "bfloat16, ranked by float32": "bfloat16"}
"""The precision of each row's model."""


def find(model: GroundingDino, photo: Sample) -> tuple[Instances, float]:
    """Return the boxes of a photo after NMS, with the CPU seconds of the network."""
    item = model.preprocess(photo)
    began = time.process_time()
    found = model.detect(model.prepare([item]), [photo.prompt], _FLOOR)[0]
    taken = time.process_time() - began
    return Nms(Nms.Params()).aggregate(found, Round(index=0, conf_threshold=_FLOOR)), taken


def follow(leader: GroundingDino, follower: GroundingDino) -> None:
    """Have a model rank places as another one did last, so that only what follows the ranks differs."""
    network = leader.network
    ranks: list[Tensor] = []
    ranked = network._ranked

    def note(logits: Tensor) -> Tensor:
        ranks[:] = [ranked(logits)]
        return ranks[0]

    network._ranked = note  # type: ignore[method-assign]
    follower.network._ranked = lambda logits: ranks[0]  # type: ignore[method-assign]


def known_photos(truth: Path, count: int | None) -> list[Sample]:
    """Return the first photos of a COCO file (None: all), decoded; they lie in the folder ``images`` beside it."""
    content = json.loads(truth.read_text())
    names = [image["file_name"] for image in content["images"]][:count]
    prompt = Prompt(tuple(category["name"] for category in content["categories"]))
    return made.samples([truth.parent / "images" / name for name in names], prompt)


def average_precision(truth: Path, photos: Sequence[Sample], found: Sequence[Instances]) -> tuple[float, float]:
    """Return COCO's AP and AP50 of the boxes found in photos that the truth names."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        images = {image["file_name"]: image["id"] for image in coco.imgs.values()}
        classes = {category["name"]: category["id"] for category in coco.cats.values()}
        rows = [
            {
                "image_id": images[photo.image.id],
                "category_id": classes[photo.prompt.phrases[label]],
                "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                "score": float(score),
            }
            for photo, answer in zip(photos, found, strict=True)
            for (x1, y1, x2, y2), score, label in zip(answer.boxes, answer.scores, answer.labels, strict=True)
        ]
        judge = COCOeval(coco, coco.loadRes(rows), "bbox")
        judge.params.imgIds = [images[photo.image.id] for photo in photos]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0]), float(judge.stats[1])


def main() -> None:
    """Print a row for each precision, then the same as one line of JSON; photos are asked in both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path, help="a COCO file, its photos in the folder images beside it")
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--photos", type=int, help="this many of them [all]")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    reuse_memory()
    photos = known_photos(given.truth, given.photos)
    models = {name: made.detector(Path(given.checkpoint), "cpu", one) for name, one in _PRECISIONS.items()}
    follow(models["float32"], models["bfloat16, ranked by float32"])
    answers: dict[str, list[Instances]] = {one: [] for one in models}
    seconds: dict[str, list[float]] = {one: [] for one in models}
    for model in models.values():
        find(model, photos[0])
    for photo in photos:
        for one, model in models.items():
            found, taken = find(model, photo)
            answers[one].append(found)
            seconds[one].append(taken)
    rows: list[dict[str, Any]] = []
    for one in models:
        ap, ap50 = average_precision(given.truth, photos, answers[one])
        same = matched(zip(answers["float32"], answers[one], strict=True))
        rows.append({"precision": one, "ap": ap, "ap50": ap50, "seconds": median(seconds[one]), "matched": same.share})
        print(
            f"{one:27} AP {ap:.4f}, AP50 {ap50:.4f}; {median(seconds[one]):.3f} s of CPU a photo;"
            f" {100 * same.share:.1f} % of {same.boxes} boxes above 0.3 found again at IoU 0.95",
            flush=True,
        )
    print(json.dumps({"benchmark": "precision", "photos": len(photos), "load": os.getloadavg()[0], "rows": rows}))


if __name__ == "__main__":
    main()
