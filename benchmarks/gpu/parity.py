"""Boxes and masks of a device beside those of the CPU in float32: the shipped models, and the reference outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.types import Instances, Prompt, Rle, Sample
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_mal.labeler import Mal
from benchmarks._matched import matched
from benchmarks.gpu.made import CELLS, TINY_MAL, detector, samples, segmenter, shipped_photos, tiny
from benchmarks.gpu.part import Row, Setting

_FLOOR = 0.05
_ASKED = ("astronaut", "coffee", "china"), Prompt(("face", "cup", "house", "person", "spoon"))
_LEAST = {"float32": 0.999, "bfloat16": 0.97}
"""The share of boxes above 0.3 that must be found again at IoU 0.95."""
_LEAST_IOU = 0.98
"""The mean IoU that masks must reach."""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield a row for each model and precision."""
    photos = samples(shipped_photos(setting), CELLS, boxes=4)
    reference = boxes_of(tiny(setting, "cpu"), photos)
    for precision in _LEAST:
        yield _boxes_row("tiny", precision, reference, boxes_of(tiny(setting, setting.device, precision), photos))
    yield _masks_row("tiny-mal", TINY_MAL, photos, setting)
    if not Path(setting.oracles, "gdino").is_dir():
        yield {"case": f"reference outputs: left out, {setting.oracles} is not there"}
        return
    yield from _oracles(setting)


def boxes_of(model: GroundingDino, photos: Sequence[Sample]) -> list[Instances]:
    """Return what a detector finds in each photo, asked alone."""
    found = []
    for photo in photos:
        seen = model.prepare([model.preprocess(photo)])
        found.extend(model.detect(seen, [photo.prompt], _FLOOR))
    return found


def _boxes_row(name: str, precision: str, reference: list[Instances], found: list[Instances]) -> Row:
    result = matched(zip(reference, found, strict=True))
    return {
        "case": f"{name}, boxes, {precision}",
        "boxes": result.boxes,
        "matched": result.share,
        "score_apart": result.score,
        "holds": result.boxes > 0 and result.share >= _LEAST[precision],
    }


def _masks_row(name: str, checkpoint: Path, photos: Sequence[Sample], setting: Setting) -> Row:
    """Compare masks on the device, in its own precision, with the CPU's."""
    ours, theirs = (_masks(segmenter(checkpoint, device), photos) for device in ("cpu", setting.device))
    overlaps = [_overlap(a, b) for a, b in zip(ours, theirs, strict=True)]
    mean = float(np.mean(overlaps))
    return {
        "case": f"{name}, masks",
        "masks": len(overlaps),
        "mean_iou": mean,
        "least_iou": min(overlaps),
        "holds": mean >= _LEAST_IOU,
    }


def _masks(model: Mal, photos: Sequence[Sample]) -> list[Rle]:
    return [mask for found in model.segment(photos) for mask in found.masks or () if mask is not None]


def _overlap(first: Rle, second: Rle) -> float:
    a, b = first.decode(), second.decode()
    return float((a & b).sum() / (a | b).sum()) if (a | b).any() else 1.0


def _oracles(setting: Setting) -> Iterator[Row]:
    """Yield rows of the reference networks with random weights, on photos."""
    folder = Path(setting.oracles)
    names, prompt = _ASKED
    photos = samples([folder / "images" / f"{name}.png" for name in names[: 1 if setting.reduced else 3]], prompt)
    sides = {"short_side": 160, "long_side": 266} if setting.reduced else {}
    own: dict[str, Any] = {"text_encoder": str(folder / "gdino" / "text_encoder"), **sides}
    path = folder / "gdino" / "groundingdino_dev.pth"
    reference = boxes_of(detector(path, "cpu", **own), photos)
    for precision in _LEAST:
        found = boxes_of(detector(path, setting.device, precision, **own), photos)
        row = _boxes_row("reference detector", precision, reference, found)
        yield row if precision == "float32" else {**row, "holds": True}  # random weights: bfloat16 may move anything
    boxes = len(json.loads((folder / "mal" / "boxes.json").read_text())["annotations"])
    given = samples([Path(photo.image.path) for photo in photos], prompt, boxes=min(boxes, 2 if setting.reduced else 8))
    yield _masks_row("reference MAL", folder / "mal" / "mal_dev.pth", given, setting)
