"""Geometry of boxes given as (N, 4) arrays of ``x1 y1 x2 y2``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.types.image import Size

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Boxes = npt.NDArray[np.floating[Any]]


def areas(boxes: Boxes) -> Float64:
    """Return the areas (...) in square pixels, float64, of (..., 4) boxes; 0 if a side is not positive."""
    sides = boxes.astype(np.float64, copy=False)
    width, height = sides[..., 2] - sides[..., 0], sides[..., 3] - sides[..., 1]
    area: Float64 = np.maximum(width, 0) * np.maximum(height, 0)
    return area


def iou(first: Boxes, second: Boxes) -> Float64:
    """Return the (N, M) intersections over union of all pairs, float64; 0 if both boxes are without area.

    Uses memory in proportion to N * M: for many boxes see ``autolabel.types.neighbours``.
    """
    return paired_iou(first[:, None, :], second[None, :, :])


def paired_iou(first: Boxes, second: Boxes) -> Float64:
    """Return the intersection over union of the boxes at equal places of two (..., 4) arrays that broadcast."""
    a, b = first.astype(np.float64, copy=False), second.astype(np.float64, copy=False)
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    inside = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(a) + areas(b) - inside
    ratio: Float64 = np.divide(inside, union, out=np.zeros_like(union), where=union > 0)
    return ratio


def clip(boxes: Boxes, size: Size) -> Float32:
    """Return (N, 4) ``x1 y1 x2 y2`` boxes cut to an image of ``size`` (height, width), float32.

    A box outside the image collapses to a side of length 0; no box is dropped.
    """
    return clip_exactly(boxes, size).astype(np.float32)


def clip_exactly(boxes: Boxes, size: Size) -> Boxes:
    """Clip like ``clip``, in the boxes' own precision."""
    height, width = size
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, boxes.dtype.type(0), limits)


def to_xywh(boxes: Boxes) -> Boxes:
    """Convert (N, 4) ``x1 y1 x2 y2`` to COCO's ``x y width height``."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
