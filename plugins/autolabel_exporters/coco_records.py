"""The records of a COCO file, made from rows of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np

from autolabel.types import Image, Labels, Rle
from autolabel.types.polygons import keyhole, parts
from autolabel_exporters.json_stream import finite
from autolabel_exporters.numbering import Numbering, given_of
from autolabel_exporters.rows import SCALES, by_image, scored_boxes, verdicts_of

if TYPE_CHECKING:
    import numpy.typing as npt

Segmentation = Literal["rle", "polygons"]
_MOST_AREAS = 255
"""Masks at a time: with numpy 2, pycocotools 2.0.11 fails on more."""
_AT_ONCE = 256
"""Objects processed in one batch."""
_Listed = tuple[int, Image, list[Labels]]
"""An image with its id and rows."""
Placed = tuple[int, Labels]
"""A row with the id of its image."""


class Form(NamedTuple):
    """The form of masks."""

    segmentation: Segmentation
    boxed: bool = False
    """Write the box of an object without a mask as a polygon, because evaluation of masks needs a segmentation."""


class _ExportedAnnotation(msgspec.Struct, gc=False):
    """One object of one image."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    """``x y width height`` in pixels."""
    area: float
    """The area of the mask, or of the box without one."""
    segmentation: Any
    """Compressed RLE, a list of polygons, or unset if there is none."""
    segmentation_of: Any
    """``box`` where the segmentation is that, for want of a mask; else unset."""
    iscrowd: int
    score: float
    round: int
    """The round that found it, -1 if it was given."""
    verdict: Any
    """The verdict of a verifier, in [0, 1]; unset without one."""
    expression: Any
    """Words that fit this object and no other of its image; unset without them."""


def images(labels: Iterable[Labels], numbering: Numbering) -> Iterator[_Listed]:
    """Yield each image that did not fail, with its id and rows."""
    free = numbering.first_free_image
    for image, rows in by_image(labels):
        own = next((row.image.given.get("id") for row in rows if row.image.given), None)
        if own is None:
            own = next((given.get("image_id") for row in rows for given in given_of(row)), None)
        if numbering.keeps_images and isinstance(own, int):
            yield own, image, rows
        else:
            yield free, image, rows
            free += 1


def together(found: Iterable[_Listed]) -> Iterator[list[_Listed]]:
    """Yield batches of images with about ``_AT_ONCE`` objects each, to share the cost of numpy calls and writes."""
    gathered: list[_Listed] = []
    size = 0
    for image_id, image, rows in found:
        gathered.append((image_id, image, rows))
        size += 1 + sum(len(row.instances) for row in rows)
        if size >= _AT_ONCE:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


def placed(batch: Sequence[_Listed]) -> list[Placed]:
    """Return the rows of images, each with its image's id."""
    return [(image_id, row) for image_id, _, rows in batch for row in rows]


def annotate(found: Sequence[Placed], first_id: int, *, numbering: Numbering, form: Form) -> list[_ExportedAnnotation]:
    """Return the objects of rows, numbered from ``first_id``; raises DataError if a number is not finite."""
    rows = [row for _, row in found]
    table = scored_boxes(rows)
    table[:, 2:4] -= table[:, :2]
    table /= SCALES
    masks = _masks_of(rows)
    segmentations, areas = _outlines(masks, table[:, 2:4], form.segmentation)
    boxed = _fill_in(segmentations, table[:, :4]) if form.boxed else repeat(msgspec.UNSET)
    columns = (  # columns have equal length (``Instances`` checks it); ids and zeros are infinite iterators
        count(first_id),
        chain.from_iterable(repeat(image_id, len(row.instances)) for image_id, row in found),
        chain.from_iterable(_categories_of(row, numbering) for row in rows),
        table[:, :4].tolist(),
        areas,
        segmentations,
        boxed,
        repeat(0),
        table[:, 4].tolist(),
        np.concatenate([row.instances.rounds for row in rows]).tolist(),
        _verdicts(rows),
        _expressions(rows),
    )
    return list(map(_ExportedAnnotation, *columns))


def _verdicts(rows: Sequence[Labels]) -> Iterable[Any]:
    """Return the verdict on each object of rows, unset for objects without one."""
    if all(row.instances.verdicts is None for row in rows):
        return repeat(msgspec.UNSET)
    said = chain.from_iterable(verdicts_of(row.instances) for row in rows)
    return [msgspec.UNSET if verdict is None else verdict for verdict in said]


def _expressions(rows: Sequence[Labels]) -> Iterable[Any]:
    """Return the referring expression of each object of rows, unset if there is none."""
    if all(row.instances.expressions is None for row in rows):
        return repeat(msgspec.UNSET)
    told = chain.from_iterable(row.instances.expressions or (None,) * len(row.instances) for row in rows)
    return [msgspec.UNSET if one is None else one for one in told]


def _categories_of(row: Labels, numbering: Numbering) -> list[int]:
    """Return the category id of each object of a row."""
    phrases, category_of = row.prompt.phrases, numbering.category_of
    return [category_of[phrases[label]] for label in row.instances.labels.tolist()]


def _masks_of(rows: Sequence[Labels]) -> Sequence[Rle | None] | None:
    """Return the masks of all objects, None if no row has any."""
    if all(row.instances.masks is None for row in rows):
        return None
    return [mask for row in rows for mask in row.instances.masks or (None,) * len(row.instances)]


def _outlines(
    masks: Sequence[Rle | None] | None, sides: npt.NDArray[np.float64], form: Segmentation
) -> tuple[list[Any], list[float]]:
    """Return the segmentation of each object (unset without a mask) and its area in pixels.

    The area is the mask's; for an object without a mask, the area of its box with ``sides`` (N, 2).
    """
    if masks is None:
        return [msgspec.UNSET] * len(sides), _box_areas(sides).tolist()
    encoded = [msgspec.UNSET if mask is None else {"size": mask.size, "counts": mask.counts} for mask in masks]
    areas: npt.NDArray[Any] = _mask_areas(encoded if all(encoded) else list(filter(None, encoded)))
    if len(areas) < len(encoded):
        of_masks, areas = areas, _box_areas(sides)
        areas[[bool(rle) for rle in encoded]] = of_masks
    if form == "polygons":
        encoded = [msgspec.UNSET if mask is None else _polygons(mask) for mask in masks]
    return encoded, areas.tolist()


def _fill_in(segmentations: list[Any], boxes: npt.NDArray[np.float64]) -> list[Any]:
    """Fill unset segmentations with the box (N, 4) ``x y width height`` as a polygon; return which objects were filled.

    The corners are in the order that pycocotools uses for detection results.
    """
    unset = [index for index, one in enumerate(segmentations) if one is msgspec.UNSET]
    sources: list[Any] = [msgspec.UNSET] * len(segmentations)
    for index, (x, y, width, height) in zip(unset, boxes[unset].tolist(), strict=True):
        right, bottom = round(x + width, 3), round(y + height, 3)
        segmentations[index], sources[index] = [[x, y, x, bottom, right, bottom, right, y]], "box"
    return sources


def _box_areas(sides: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the areas of boxes, rounded to three decimals."""
    return np.round(sides[:, 0] * sides[:, 1], 3)


def _mask_areas(encoded: list[Any]) -> npt.NDArray[np.int64]:
    """Return the number of pixels inside each RLE."""
    from pycocotools import mask as coco

    areas = np.empty(len(encoded), np.int64)
    for start in range(0, len(encoded), _MOST_AREAS):
        chunk = slice(start, start + _MOST_AREAS)
        areas[chunk] = coco.area(encoded[chunk])
    return areas


def _polygons(mask: Rle) -> Any:
    """Return a polygon for each part of a mask, with holes joined to it by cuts; unset for an empty mask."""
    return [keyhole(part).reshape(-1).tolist() for part in parts(mask.decode())] or msgspec.UNSET


def with_given(
    annotation: _ExportedAnnotation, given: Mapping[str, Any], *, numbering: Numbering, place: str
) -> dict[str, Any]:
    """Return an annotation with the id, category and extra fields of its box's input annotation.

    The run's own fields (box, mask, area, score, round) replace input fields of the same name. An id that cannot be
    kept is written as ``given_id``. Raises DataError naming ``place`` if an extra field holds a non-finite number.
    """
    made = {name: value for name, value in msgspec.structs.asdict(annotation).items() if value is not msgspec.UNSET}
    if numbering.keeps_annotations and given.get("id") is not None:
        made["id"] = given["id"]
    elif given.get("id") is not None:
        made["given_id"] = given["id"]
    if numbering.keeps_categories and "category_id" in given:
        made["category_id"] = given["category_id"]
    made["iscrowd"] = given.get("iscrowd", 0)
    made["image_id"] = annotation.image_id
    extra = {
        name: finite(value, f"{place}/{name}")
        for name, value in given.items()
        if name not in {*made, "segmentation_of"}
    }
    return made | extra
