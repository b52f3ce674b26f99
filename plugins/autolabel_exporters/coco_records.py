"""The records of a COCO file, made from rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from autolabel.types import Image, Labels, Rle
from autolabel_exporters.json_stream import finite
from autolabel_exporters.numbering import Numbering, given_of
from autolabel_exporters.rows import by_image, rounded_boxes, rounded_scores

Segmentation = Literal["rle", "polygons"]


class Annotation(msgspec.Struct):
    """One object of one image."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    """``x y width height`` in pixels."""
    area: float
    """Of the mask where there is one, else of the box."""
    segmentation: Any
    """Compressed RLE, a list of polygons, or unset where there is no mask."""
    iscrowd: int
    score: float
    round: int
    """The round that found it, -1 where it was given."""


def images(labels: Iterable[Labels], numbering: Numbering) -> Iterator[tuple[int, Image, list[Labels]]]:
    """Yield each image that did not fail, with its id and rows."""
    free = numbering.first_free_image
    for image, rows in by_image(labels):
        own = next((given.get("image_id") for row in rows for given in given_of(row)), None)
        if numbering.keeps_images and isinstance(own, int):
            yield own, image, rows
        else:
            yield free, image, rows
            free += 1


def annotate(
    row: Labels, image_id: int, first_id: int, *, numbering: Numbering, form: Segmentation
) -> list[Annotation]:
    """Return the objects of a row, numbered from ``first_id``; raises DataError where a number is not finite."""
    corners = rounded_boxes(row)
    sides = np.round(corners[:, 2:] - corners[:, :2], 3)
    boxes: list[list[float]] = np.concatenate([corners[:, :2], sides], axis=1).tolist()
    areas: list[float] = np.round(sides.prod(axis=1), 3).tolist()
    segmentations: Sequence[Any] = [msgspec.UNSET] * len(boxes)
    if row.instances.masks is not None:
        areas = mask_areas(row.instances.masks, areas)
        segmentations = [segmentation(mask, form) for mask in row.instances.masks]
    phrases, labels = row.prompt.phrases, row.instances.labels.tolist()
    categories = [numbering.category_of[phrases[label]] for label in labels]
    rounds = row.instances.rounds.tolist()
    columns = zip(categories, boxes, areas, segmentations, rounded_scores(row.instances), rounds, strict=True)
    return [
        Annotation(number, image_id, category, box, area, mask, 0, score, found_in)
        for number, (category, box, area, mask, score, found_in) in enumerate(columns, first_id)
    ]


def segmentation(mask: Rle | None, form: Segmentation) -> Any:
    """Return a mask in the wanted form, unset where there is none."""
    if mask is None:
        return msgspec.UNSET
    if form == "rle":
        return mask
    from autolabel.types.polygons import to_polygons

    return to_polygons(mask.decode())


def mask_areas(masks: Sequence[Rle | None], boxes: Sequence[float]) -> list[float]:
    """Return the pixels inside each mask; the area of its box where an object has no mask."""
    from pycocotools import mask as coco

    areas = list(boxes)
    present = [index for index, mask in enumerate(masks) if mask is not None]
    counted = coco.area([mask.as_coco() for mask in masks if mask is not None]).tolist() if present else []
    for index, area in zip(present, counted, strict=True):
        areas[index] = float(area)
    return areas


def with_given(annotation: Annotation, given: Mapping[str, Any], *, numbering: Numbering, place: str) -> dict[str, Any]:
    """Return an annotation with the id, category and extra fields of the input annotation that its box came from.

    What this run made (box, mask, area, score, round) wins over fields of the same name. An id that cannot be kept is
    written as ``given_id``. Raises DataError naming ``place`` where an extra field holds a number that is not finite.
    """
    made = {name: value for name, value in msgspec.structs.asdict(annotation).items() if value is not msgspec.UNSET}
    if numbering.keeps_annotations:
        made["id"] = given["id"]
    elif given.get("id") is not None:
        made["given_id"] = given["id"]
    if numbering.keeps_categories and "category_id" in given:
        made["category_id"] = given["category_id"]
    made["iscrowd"] = given.get("iscrowd", 0)
    extra = {name: finite(value, f"{place}/{name}") for name, value in given.items() if name not in made}
    return made | extra
