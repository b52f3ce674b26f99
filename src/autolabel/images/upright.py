"""Map boxes from stored pixels to the upright image."""

from __future__ import annotations

import numpy as np

from autolabel.types import Size
from autolabel.types.boxes import Boxes

_MIRRORED_X = frozenset({2, 3, 7, 8})
_MIRRORED_Y = frozenset({3, 4, 6, 7})
_SWAPPED = frozenset({5, 6, 7, 8})


def turn_boxes(boxes: Boxes, stored: Size, orientation: int) -> Boxes:
    """Return (N, 4) ``x1 y1 x2 y2`` boxes of a stored image of ``stored`` (height, width) in the upright image."""
    height, width = stored
    x1, y1, x2, y2 = boxes.T
    if orientation in _MIRRORED_X:
        x1, x2 = width - x2, width - x1
    if orientation in _MIRRORED_Y:
        y1, y2 = height - y2, height - y1
    turned = (y1, x1, y2, x2) if orientation in _SWAPPED else (x1, y1, x2, y2)
    return np.stack(turned, axis=1)
