"""The masks of a COCO file, beside the boxes that were read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autolabel.data.coco.read import CocoBoxes
from autolabel.types import Labels, Rle, Size


def with_masks(rows: Sequence[Labels], coco: CocoBoxes) -> tuple[Labels, ...]:
    """Return the rows of a COCO file with the masks of their boxes.

    A box has None where the file gives it no mask, or one that is not of an image of this size. Crowds have none.
    """
    masks: dict[tuple[Any, Any], Any] = {}
    for image, objects in coco.by_image():
        for one in objects:
            if one.segmentation and not one.iscrowd and one.id is not None:
                masks[image.id, one.id] = one.segmentation
    return tuple(_row_with_masks(row, masks) for row in rows)


def _row_with_masks(row: Labels, masks: dict[tuple[Any, Any], Any]) -> Labels:
    found = [
        _mask(masks.get((fields.get("image_id"), fields.get("id"))), row.image.size)
        for fields in row.instances.given or ()
    ]
    return replace(row, instances=replace(row.instances, masks=tuple(found))) if any(found) else row


def _mask(segmentation: Any, size: Size) -> Rle | None:
    try:
        return None if segmentation is None else Rle.from_coco(segmentation, size)
    except ValueError:
        return None
