"""Crowds among given boxes: they keep the region that they came with."""

from __future__ import annotations

import logging

from autolabel.types import Rle, Sample

logger = logging.getLogger(__name__)


def is_crowd(sample: Sample, index: int) -> bool:
    """Return whether the box at ``index`` was given as a crowd (``iscrowd`` among its fields)."""
    given = sample.instances.given
    return given is not None and given[index].get("iscrowd") == 1


def given_region(sample: Sample, index: int) -> Rle | None:
    """Return the region that the box at ``index`` was given with; None, with a warning, where it cannot be read."""
    given = sample.instances.given
    region = given[index].get("segmentation") if given is not None else None
    if region is None:
        return None
    height, width = sample.pixels.shape[:2]
    try:
        return Rle.from_coco(region, (height, width))
    except ValueError as error:
        logger.warning("%s: the region of a crowd is left out: %s", sample.image.id, error)
        return None
