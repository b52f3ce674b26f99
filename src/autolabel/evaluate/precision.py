"""Average precision as COCO defines it, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.intervals import Interval, average_precision_intervals
from autolabel.evaluate.scene import Objects, Scene
from autolabel.types import Rle
from autolabel.types.boxes import to_xywh

LIMIT = 100
"""Objects of a class in an image that COCO looks at, the surest first."""
_Kind = Literal["bbox", "segm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """COCO's twelve numbers, without the two recalls at fewer boxes; None if no true object falls under one."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    ap_unlimited: float | None
    """``ap`` with all boxes of an image, where COCO takes the 100 surest of a class; the same where none has more."""
    ap_interval: Interval | None
    """The 95 % interval of ``ap``; None with one image, or if computing it would take minutes."""
    ap50_interval: Interval | None
    beyond_limit: int
    """Images with more than 100 true or found boxes of a class."""
    ap_by_class: tuple[float | None, ...]
    ap50_by_class: tuple[float | None, ...]
    curves: tuple[tuple[float, ...] | None, ...]
    """For each class the best precision at recalls of 0, 0.01 ... 1 or more, at an overlap of 0.5."""


def average_precision(scenes: Sequence[Scene], classes: Sequence[str], kind: _Kind) -> Precision:
    """Return the precision of boxes or masks; everything None if there is no true object.

    Masks need one for every true object; a found object without one counts as an empty mask. pycocotools holds all
    objects in memory and looks at the 100 surest of a class in an image.
    """
    evaluation = coco_evaluation(scenes, classes, kind)
    with silence():
        evaluation.accumulate()
        evaluation.summarize()
    ap_interval, ap50_interval = average_precision_intervals(evaluation, len(scenes))
    stats = [_measured(value) for value in evaluation.stats]
    table = evaluation.eval["precision"][:, :, :, 0, -1]
    crowded = [most for scene in scenes if (most := _most_of_a_class(scene)) > LIMIT]
    unlimited = _without_limit(evaluation, max(crowded)) if crowded else stats[0]
    return Precision(
        **dict(zip(("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"), stats[:6], strict=True)),
        **dict(zip(("ar100", "ar_small", "ar_medium", "ar_large"), stats[8:], strict=True)),
        ap_unlimited=unlimited,
        ap_interval=ap_interval,
        ap50_interval=ap50_interval,
        beyond_limit=len(crowded),
        ap_by_class=tuple(_mean(table[:, :, number]) for number in range(len(classes))),
        ap50_by_class=tuple(_mean(table[:1, :, number]) for number in range(len(classes))),
        curves=tuple(_curve(table[0, :, number]) for number in range(len(classes))),
    )


def coco_evaluation(scenes: Sequence[Scene], classes: Sequence[str], kind: _Kind) -> Any:
    """Return pycocotools' evaluation of scenes, which has matched what was found with what is true."""
    from pycocotools.cocoeval import COCOeval

    with silence():
        truth = _dataset(list(_true_records(scenes, kind)), scenes, classes)
        found = _dataset(list(_found_records(scenes, kind)), scenes, classes)
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
    return evaluation


def _most_of_a_class(scene: Scene) -> int:
    """Return the most true or found objects that a class has in an image."""
    return max((int(np.bincount(one.classes).max()) for one in (scene.true, scene.found) if len(one)), default=0)


def _without_limit(evaluation: Any, most: int) -> float | None:
    """Return the average precision where ``most`` objects of a class in an image are looked at."""
    with silence():
        evaluation.params.maxDets = [1, 10, most]
        evaluation.evaluate()
        evaluation.accumulate()
    return _mean(evaluation.eval["precision"][:, :, :, 0, -1])


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what pycocotools prints, and its warnings about NumPy, to itself."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _measured(value: float) -> float | None:
    """Return a number of pycocotools, None for its -1 that says there was nothing to measure."""
    return None if value < 0 else float(value)


def _mean(values: Any) -> float | None:
    """Return the mean of the measured values."""
    kept = values[values > -1]
    return float(np.mean(kept)) if kept.size else None


def _curve(values: Any) -> tuple[float, ...] | None:
    """Return the precisions of one class, None if no true object is of it."""
    return tuple(values.tolist()) if (values > -1).all() else None


def _dataset(annotations: list[dict[str, Any]], scenes: Sequence[Scene], classes: Sequence[str]) -> Any:
    """Return a COCO object of pycocotools; ids of annotations count from 1, as it takes 0 for no match."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": number, "height": scene.size[0], "width": scene.size[1]} for number, scene in enumerate(scenes, 1)
        ],
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }
    coco.createIndex()
    return coco


def _true_records(scenes: Sequence[Scene], kind: _Kind) -> Iterator[dict[str, Any]]:
    """Yield the true objects."""
    for number, scene in enumerate(scenes, 1):
        for place, record in enumerate(_records(scene.true, number, scene, kind)):
            ignored = kind == "segm" and scene.broken[place]
            if ignored:
                record["segmentation"] = _region(scene.true.boxes[place], scene).as_coco()
            yield record | {"area": float(scene.areas[place]), "iscrowd": int(scene.crowds[place] or ignored)}


def _found_records(scenes: Sequence[Scene], kind: _Kind) -> Iterator[dict[str, Any]]:
    """Yield the found objects; their size class goes by the mask where masks are measured."""
    for number, scene in enumerate(scenes, 1):
        for place, record in enumerate(_records(scene.found, number, scene, kind)):
            _, _, width, height = record["bbox"]
            mask = scene.found.masks[place]
            area = float(mask.area() if mask is not None else 0) if kind == "segm" else width * height
            yield record | {"area": area, "iscrowd": 0, "score": float(scene.scores[place])}


def _records(objects: Objects, image_id: int, scene: Scene, kind: _Kind) -> Iterator[dict[str, Any]]:
    """Yield what true and found objects have alike."""
    boxes = to_xywh(objects.boxes).tolist()
    for box, number, mask in zip(boxes, objects.classes.tolist(), objects.masks, strict=True):
        record: dict[str, Any] = {"image_id": image_id, "category_id": number + 1, "bbox": box}
        if kind == "segm":
            record["segmentation"] = _segmentation(mask, scene)
        yield record


def _region(box: npt.NDArray[np.float64], scene: Scene) -> Rle:
    """Return the mask of the pixels that a box touches."""
    x1, y1 = np.floor(np.maximum(box[:2], 0)).astype(int)
    x2, y2 = np.ceil(np.minimum(box[2:], scene.size[::-1])).astype(int)
    mask = np.zeros(scene.size, bool)
    mask[y1:y2, x1:x2] = True
    return Rle.encode(mask)


def _segmentation(mask: Rle | None, scene: Scene) -> Mapping[str, object]:
    """Return a mask for pycocotools; an empty one of the scene's size if there is none."""
    return (mask or Rle.encode(np.zeros(scene.size, bool))).as_coco()
