"""True boxes of the displayed images, from a COCO file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.data.coco.read import Annotation, read_coco
from autolabel.data.pairing import pair
from autolabel.storage import Location
from autolabel.types import Instances
from autolabel.types.boxes import iou

_IOU = 0.5
"""The overlap from which a box of the same class counts as right."""

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrueBox:
    """A true box ``x1 y1 x2 y2`` in pixels, with the name of its class."""

    bbox: _Box
    phrase: str


def read_truth(
    path: str | Location, images: Collection[str], *, image_of: Mapping[str, str] | None = None
) -> dict[str, list[TrueBox]]:
    """Return the true boxes of those of ``images`` (ids) that the COCO file lists, crowds and empty boxes left out.

    ``image_of`` maps file names to images, as far as known. Raises DataError if the file is invalid.
    """
    coco = read_coco(path, masks=False)
    if image_of is None:
        image_of = pair(images, [image.file_name for image in coco.images]).image_of
    out: dict[str, list[TrueBox]] = {}
    for image, given in coco.by_image():
        found = image_of.get(image.file_name)
        if found is not None and found in images:
            boxes = [TrueBox(_corners(one), coco.categories[one.category_id]) for one in given if _counts(one)]
            out.setdefault(found, []).extend(boxes)
    return out


def _counts(annotation: Annotation) -> bool:
    """Return whether an annotation is one object that has an area."""
    return not annotation.iscrowd and min(annotation.bbox[2:]) > 0


def _corners(annotation: Annotation) -> _Box:
    """Return an annotation's ``x1 y1 x2 y2``."""
    x, y, width, height = annotation.bbox
    return x, y, x + width, y + height


def match_to_truth(found: Instances, phrases: Sequence[str], true: Sequence[TrueBox]) -> list[int]:
    """Return for each found box the index of the true box that it matches, or -1.

    In descending order of score, boxes are matched to free true boxes of their class with an overlap of at least IOU,
    so matches above a threshold do not depend on boxes below it. Without true boxes, all -1.
    """
    out = [-1] * len(found)
    if not true:
        return out
    overlap = iou(found.boxes, np.asarray([box.bbox for box in true], np.float64))
    names = np.asarray([box.phrase for box in true], object)
    for index in np.argsort(-found.scores, kind="stable").tolist():
        same = names == phrases[int(found.labels[index])]
        candidates = np.where(same, overlap[index], 0)
        best = int(candidates.argmax())
        if candidates[best] >= _IOU:
            out[index] = best
            overlap[:, best] = 0
    return out


def true_boxes(truth: Mapping[str, Sequence[TrueBox]] | None, image: str) -> Sequence[TrueBox] | None:
    """Return the true boxes of an image; None if it is not in the file."""
    return None if truth is None else truth.get(image)
