"""Overlap of boxes: pairwise for the loss, all-to-all for evaluation, and greedy suppression."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Floats = NDArray[np.floating]


def corners(boxes: Tensor) -> Tensor:
    """Map centre x, y, width, height (..., 4) to x0, y0, x1, y1."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def paired_giou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU (Rezatofighi et al. 2019) of boxes (..., 4) given as centre and size."""
    first, second = corners(first), corners(second)
    inner = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    outer = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    overlap, hull = inner.clamp(min=0).prod(-1), outer.prod(-1).clamp(min=1e-7)
    union = (_area(first) + _area(second) - overlap).clamp(min=1e-7)
    iou = overlap / union
    return iou, iou - (hull - union) / hull


def iou_matrix(first: _Floats, second: _Floats) -> _Floats:
    """Return the IoU (n, m) of boxes (n, 4) and (m, 4) as x0, y0, x1, y1."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (first, second)]
    result: _Floats = overlap / np.maximum(areas[0][:, None] + areas[1][None] - overlap, 1e-9)
    return result


def suppress(boxes: _Floats, scores: _Floats, threshold: float) -> NDArray[np.int64]:
    """Return the indices that greedy non-maximum suppression keeps, best first; `threshold` 1 keeps all."""
    order = np.argsort(-scores, kind="stable")
    overlaps = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for candidate in order:
        if not kept or overlaps[candidate, kept].max() < threshold or threshold >= 1:
            kept.append(int(candidate))
    return np.array(kept, dtype=np.int64)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
