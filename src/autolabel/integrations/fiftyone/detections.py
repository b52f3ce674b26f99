"""Convert labels to FiftyOne's detections and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import fiftyone as fo
import numpy as np
import numpy.typing as npt

from autolabel.data.corrections.shapes import Shape
from autolabel.types import Labels, Rle, Size


def to_detections(labels: Labels) -> fo.Detections:
    """Return one image's objects: boxes as shares of the image, masks within them, scores as ``confidence``.

    Each has its ``round``; where there are any, the phrase that was ``asked``, the ``sources`` that support it, the
    ``verdict`` of a verifier, the referring ``expression``, and ``support_looks``, ``support_labelers`` and
    ``support_asked``.
    """
    found = labels.instances
    return fo.Detections(detections=[_detection(labels, index) for index in range(len(found))])


def _detection(labels: Labels, index: int) -> fo.Detection:
    found, (height, width) = labels.instances, labels.image.size
    x1, y1, x2, y2 = (float(place) for place in found.boxes[index])
    more: dict[str, Any] = {"round": int(found.rounds[index])}
    if found.asked and found.asked[index]:
        more["asked"] = found.asked[index]
    if found.sources and found.sources[index]:
        more["sources"] = list(found.sources[index])
    if found.support:
        seen = found.support[index]
        more |= {"support_looks": seen.looks, "support_labelers": seen.labelers, "support_asked": seen.asked}
    if found.verdicts and (verdict := found.verdicts[index]) is not None:
        more["verdict"] = verdict
    if found.expressions and found.expressions[index]:
        more["expression"] = found.expressions[index]
    mask = found.masks[index] if found.masks else None
    if mask is not None:
        left, top, right, bottom = _pixels((x1, y1, x2, y2), labels.image.size)
        more["mask"] = mask.decode()[top:bottom, left:right]
    return fo.Detection(
        label=labels.prompt.phrases[found.labels[index]],
        bounding_box=[x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
        confidence=float(found.scores[index]),
        **more,
    )


def shapes_of(detections: Sequence[fo.Detection], size: Size) -> list[Shape]:
    """Return the boxes and masks of detections on an image of ``size`` (height, width)."""
    height, width = size
    shapes: list[Shape] = []
    for number, one in enumerate(detections):
        x, y, wide, high = (float(place) for place in one.bounding_box)
        box = (x * width, y * height, (x + wide) * width, (y + high) * height)
        group, place = str(number), f"detection {one.id}"
        corners = [(box[0], box[1]), (box[2], box[3])]
        shapes.append(Shape(phrase=str(one.label), kind="box", points=corners, group=group, place=place))
        inside = one.get_mask() if one.has_mask else None
        if inside is not None:
            make = partial(_whole, np.asarray(inside) > 0, box)
            shapes.append(Shape(phrase=str(one.label), kind="mask", mask=make, group=group, place=place))
    return shapes


def _whole(inside: npt.NDArray[np.bool_], box: tuple[float, float, float, float], size: Size) -> Rle:
    """Return a box mask as a mask of the image, resized if the box was resized."""
    left, top, right, bottom = _pixels(box, size)
    high, wide = bottom - top, right - left
    rows = np.arange(high) * inside.shape[0] // high
    columns = np.arange(wide) * inside.shape[1] // wide
    return Rle.from_crop(inside[np.ix_(rows, columns)], left=left, top=top, size=size)


def _pixels(box: tuple[float, float, float, float], size: Size) -> tuple[int, int, int, int]:
    """Return the pixels that a mask within a box covers: at least one each way, all inside the image."""
    height, width = size
    left, top = min(width - 1, max(0, round(box[0]))), min(height - 1, max(0, round(box[1])))
    right, bottom = min(width, max(left + 1, round(box[2]))), min(height, max(top + 1, round(box[3])))
    return left, top, right, bottom
