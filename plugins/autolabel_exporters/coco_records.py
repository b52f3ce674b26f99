"""The records of a COCO file, made from rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.types import Image, Labels, Rle
from autolabel.types.polygons import keyhole, parts
from autolabel_exporters.json_stream import finite
from autolabel_exporters.numbering import Numbering, given_of
from autolabel_exporters.rows import SCALES, by_image, rounded

Segmentation = Literal["rle", "polygons"]


class Annotation(msgspec.Struct, gc=False):
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
    table = rounded(row)
    table[:, 2:4] -= table[:, :2]
    table = np.rint(table * SCALES) / SCALES
    segmentations, areas = outlines(row.instances.masks, table[:, 2] * table[:, 3], form)
    phrases, category_of = row.prompt.phrases, numbering.category_of
    columns = zip(
        row.instances.labels.tolist(),
        table[:, :4].tolist(),
        areas,
        segmentations,
        table[:, 4].tolist(),
        row.instances.rounds.tolist(),
        strict=True,
    )
    return [
        Annotation(number, image_id, category_of[phrases[label]], box, area, mask, 0, score, found_in)
        for number, (label, box, area, mask, score, found_in) in enumerate(columns, first_id)
    ]


def outlines(
    masks: Sequence[Rle | None] | None, areas: npt.NDArray[np.float64], form: Segmentation
) -> tuple[Sequence[Any], list[float]]:
    """Return the segmentation of each object, unset where it has no mask, with the pixels inside it, else ``areas``."""
    areas = areas.round(3)
    if masks is None:
        return [msgspec.UNSET] * len(areas), areas.tolist()
    encoded = [msgspec.UNSET if mask is None else {"size": mask.size, "counts": mask.counts} for mask in masks]
    present = [rle for rle in encoded if rle is not msgspec.UNSET]
    if present:
        from pycocotools import mask as coco

        places = slice(None) if len(present) == len(encoded) else [rle is not msgspec.UNSET for rle in encoded]
        areas[places] = coco.area(present)
    if form == "polygons":
        encoded = [msgspec.UNSET if mask is None else polygons(mask) for mask in masks]
    return encoded, areas.tolist()


def polygons(mask: Rle) -> Any:
    """Return a polygon for each part of a mask, holes joined to it by cuts; unset for a mask without pixels."""
    return [keyhole(part).reshape(-1).tolist() for part in parts(mask.decode())] or msgspec.UNSET


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
