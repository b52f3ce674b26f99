"""Fit given boxes to the image as it is read: check its size, apply its orientation, clip boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from autolabel.data.inputs import GivenBox, Input
from autolabel.images import Header, turn_boxes
from autolabel.types import Size
from autolabel.types.boxes import areas, clip

_Float64 = npt.NDArray[np.float64]
_DECIMALS = 3
"""The decimals with which labels are written; a box that has no area once rounded counts as without area."""
_FARTHEST = 1e9
"""Corners are cut to this before they become float32."""
_HINT = "correct them in the file or leave them out of it; data.rescale_boxes: true scales the boxes instead"


def fitted(row: Input, header: Header, *, rescale: bool) -> Input:
    """Return a row with its boxes clipped to the image; boxes outside are left out and noted.

    If the file states another size than the image has, the row fails, or with ``rescale`` the boxes are scaled. If the
    stated size is that of the stored pixels, before EXIF orientation, the boxes are rotated too.
    """
    if not row.boxes and not any(row.stated):
        return row
    stated = row.stated if all(row.stated) else header.size
    boxes: _Float64 = np.array([box.bbox for box in row.boxes], np.float64).reshape(-1, 4)
    notes = list(row.notes)
    if stated == header.stored != header.size:
        boxes = turn_boxes(boxes, stated, header.orientation).astype(np.float64)
        notes.append(f"boxes were turned: the file states {_said(stated)}, the size before the photo is turned upright")
    elif stated != header.size and rescale:
        boxes = _scaled(boxes, stated, header.size)
        notes.append(f"boxes were scaled from {_said(stated)}, as the file states, to {_said(header.size)}")
    elif stated != header.size:
        message = f"the file of boxes states {_said(stated)}, the image has {_said(header.size)}; {_HINT}"
        return replace(row, boxes=(), stated=(0, 0), code="other_size", message=message)
    kept, left_out = _inside(row.boxes, boxes, header.size)
    return replace(row, boxes=kept, stated=(0, 0), notes=(*notes, *left_out))


def _said(size: Size) -> str:
    """Return a size as width x height."""
    return f"{size[1]}x{size[0]}"


def _scaled(boxes: _Float64, stated: Size, size: Size) -> _Float64:
    """Scale (N, 4) boxes from an image of ``stated`` (height, width) to ``size``."""
    factors: _Float64 = np.array([size[1] / stated[1], size[0] / stated[0]] * 2, np.float64)
    return boxes * factors


def _inside(given: Sequence[GivenBox], corners: _Float64, size: Size) -> tuple[tuple[GivenBox, ...], list[str]]:
    """Return boxes clipped to the image without those outside, and a note for each of these."""
    limited = np.clip(corners, -_FARTHEST, _FARTHEST)
    cut = clip(limited, size)
    whole = areas(limited) > 0
    kept = areas(np.round(cut.astype(np.float64), _DECIMALS)) > 0
    boxes = tuple(
        replace(box, bbox=tuple(edges)) for box, edges, stays in zip(given, cut.tolist(), kept, strict=True) if stays
    )
    notes = [
        f"annotation {box.fields.get('id', number)} is left out: the box {list(box.bbox)} "
        + (f"is outside the {_said(size)} image" if has_area else "has no area")
        for number, (box, stays, has_area) in enumerate(zip(given, kept, whole, strict=True))
        if not stays
    ]
    return boxes, notes
