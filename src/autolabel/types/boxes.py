"""Geometry of boxes given as (N, 4) arrays of ``x1 y1 x2 y2``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autolabel.types.image import Size

if TYPE_CHECKING:
    import numpy.typing as npt

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Boxes: TypeAlias = "npt.NDArray[np.floating[Any]]"


def areas(boxes: Boxes) -> Float64:
    """Return the areas (...) in square pixels, float64, of (..., 4) boxes; 0 if a side is not positive."""
    area: Float64 = columns(boxes)[4]
    return area


def iou(first: Boxes, second: Boxes) -> Float64:
    """Return the (N, M) intersections over union of all pairs, float64; 0 if both boxes are without area.

    Uses memory in proportion to N * M: for many boxes see ``autolabel.types.neighbours``.
    """
    return columns_iou(columns(first)[:, :, None], columns(second)[:, None, :])


def paired_iou(first: Boxes, second: Boxes) -> Float64:
    """Return the intersection over union of the boxes at equal places of two (..., 4) arrays that broadcast."""
    return columns_iou(columns(first), columns(second))


def columns(boxes: Boxes) -> Float64:
    """Return the edges ``x1 y1 x2 y2`` and the areas of (..., 4) boxes as float64 (5, ...), each without gaps."""
    edges = np.empty((5, *boxes.shape[:-1]))
    edges[:4] = boxes.T if boxes.ndim == 2 else np.moveaxis(boxes, -1, 0)
    sides = edges[2:4] - edges[:2]
    np.maximum(sides, 0, out=sides)
    edges[4] = sides[0] * sides[1]
    return edges


def columns_iou(first: Float64, second: Float64) -> Float64:
    """Return the intersection over union of boxes given by ``columns``; the shapes after the first axis broadcast."""
    x1, y1, x2, y2, area = first
    other_x1, other_y1, other_x2, other_y2, other_area = second
    inside = _shared(x1, x2, other_x1, other_x2)
    inside *= _shared(y1, y2, other_y1, other_y2)
    union = np.asarray(area + other_area)
    union -= inside
    if not union.all():
        union[union == 0] = np.inf  # an IoU of 0
    inside /= union
    return inside


def _shared(low: Float64, high: Float64, other_low: Float64, other_high: Float64) -> Float64:
    """Return how far intervals overlap; arrays as large as all pairs are written once."""
    shared: Float64 = np.asarray(np.minimum(high, other_high))
    shared -= np.maximum(low, other_low)
    return np.maximum(shared, 0, out=shared)


def clip(boxes: Boxes, size: Size) -> Float32:
    """Return (N, 4) ``x1 y1 x2 y2`` boxes cut to an image of ``size`` (height, width), float32.

    A box outside the image collapses to a side of length 0; no box is dropped.
    """
    return clip_exactly(boxes, size).astype(np.float32)


def clip_exactly(boxes: Boxes, size: Size) -> Boxes:
    """Clip like ``clip``, in the boxes' own precision."""
    height, width = size
    limits = np.array([width, height, width, height], boxes.dtype)
    return boxes.clip(boxes.dtype.type(0), limits)


def to_xywh(boxes: Boxes) -> Boxes:
    """Convert (N, 4) ``x1 y1 x2 y2`` to COCO's ``x y width height``."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
