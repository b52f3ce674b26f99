"""Boxes given to a segmenter: clipped to the image; crowds keep their input region."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from autolabel.types import Rle, Sample, Size

if TYPE_CHECKING:
    import numpy.typing as npt

_logger = logging.getLogger(__name__)


def clip_box(box: npt.NDArray[np.float32], size: Size) -> npt.NDArray[np.float32] | None:
    """Return a box ``x1 y1 x2 y2`` cut to the image of ``size`` (height, width), or None if no area is left."""
    height, width = size
    if not np.isfinite(box).all():
        return None
    inside = np.clip(box, np.float32(0), np.asarray([width, height, width, height], np.float32))
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else None


def is_crowd(sample: Sample, index: int) -> bool:
    """Return whether the box at ``index`` was given as a crowd (``iscrowd`` among its fields)."""
    given = sample.instances.given
    return given is not None and given[index].get("iscrowd") == 1


def given_region(sample: Sample, index: int) -> Rle | None:
    """Return the input region of the box at ``index``; None, with a warning, if it cannot be read."""
    given = sample.instances.given
    region = given[index].get("segmentation") if given is not None else None
    if region is None:
        return None
    height, width = sample.pixels.shape[:2]
    try:
        return Rle.from_coco(region, (height, width))
    except ValueError as error:
        _logger.warning("%s: the region of a crowd is left out: %s", sample.image.id, error)
        return None
