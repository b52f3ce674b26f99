"""COCO files with polygons in the place of RLE."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from autolabel_exporters.coco import Coco


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_holes_and_parts_come_back_through_pycocotools(row: Any, export: Any, shapes: Any) -> None:
    masks = list(shapes.values())
    files = export(Coco, [row("a.jpg", [[1, 2, 11, 22]] * 4, masks=masks)], segmentation="polygons")
    made = json.loads(files["annotations.json"].read_text())["annotations"]
    assert [len(annotation["segmentation"]) for annotation in made] == [1, 1, 2, 1]
    for annotation, mask in zip(made, masks, strict=True):
        rle = coco.merge(coco.frPyObjects(annotation["segmentation"], 60, 80))
        assert np.array_equal(coco.decode(rle), mask)
        assert annotation["area"] == mask.sum()


def test_a_mask_without_pixels_has_no_polygon_but_its_box(row: Any, export: Any) -> None:
    files = export(Coco, [row("a.jpg", [[1, 2, 11, 22]], masks=[np.zeros((60, 80), bool)])], segmentation="polygons")
    (annotation,) = json.loads(files["annotations.json"].read_text())["annotations"]
    assert (annotation["segmentation_of"], annotation["area"]) == ("box", 0)
