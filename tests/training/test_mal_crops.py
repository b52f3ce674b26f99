"""Crops for training: drawn from the step alone, turned together with their boxes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel.recently_used import RecentlyUsed
from autolabel_mal.learning.crops import (
    CropBatch,
    CropRecipe,
    CropSampler,
    CropShape,
    CutCrop,
    _turned,
    cut_crop,
    drawn_ahead,
    source,
)
from autolabel_mal.learning.picture import BoxedPicture

RECIPE = CropRecipe(smallest_side=8, margins=(0.2, 1.0), recolour=0.5)
SHAPE = CropShape(crop=32, logits=16)


def a_picture() -> BoxedPicture:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    pixels[20:40, 30:50] = (250, 10, 10)
    return BoxedPicture(pixels, np.array([[30, 20, 50, 40], [0, 0, 30, 12], [5, 5, 9, 40]], np.float32))


def a_sampler(seed: int = 1) -> CropSampler:
    return CropSampler([source([a_picture()], RECIPE, share=1.0, turn=True, solid=True)], RECIPE, SHAPE, seed=seed)


def same(first: CropBatch, second: CropBatch) -> bool:
    return all(torch.equal(getattr(first, field), getattr(second, field)) for field in CropBatch.__dataclass_fields__)


def test_photos_are_kept_decoded_as_far_as_memory_allows() -> None:
    decoded: list[str] = []
    cache = RecentlyUsed[Any](2 * 12, size_of=lambda pixels: pixels.nbytes)

    def photo(name: str) -> None:
        if cache.get(name) is None:
            decoded.append(name)
            cache.keep(name, np.zeros((2, 2, 3), np.uint8))

    for name in "aabacab":
        photo(name)
    assert decoded == ["a", "b", "c", "b"]
    large = RecentlyUsed[Any](11, size_of=lambda pixels: pixels.nbytes)
    for _ in range(2):
        large.keep(0, np.full((2, 2, 3), 7, np.uint8))
        kept = large.get(0)
        assert kept is not None and kept.max() == 7


def test_narrow_boxes_are_left_out() -> None:
    chosen = source([a_picture()], RECIPE, share=1.0, turn=False, solid=False)
    assert [index for _, index in chosen.objects] == [0, 1]
    narrow = BoxedPicture(a_picture().source, np.array([[0, 0, 4, 4]], np.float32))
    with pytest.raises(ValueError, match=r"lower crops\.smallest_side"):
        source([narrow], RECIPE, share=1.0, turn=False, solid=False)


def test_a_step_draws_the_same_batch_whatever_came_before() -> None:
    fresh, used = a_sampler(), a_sampler()
    for step in range(3):
        used.draw(step, 4)
    assert same(fresh.draw(7, 4), used.draw(7, 4))
    assert not same(fresh.draw(7, 4), fresh.draw(8, 4))
    assert not same(fresh.draw(7, 4), a_sampler(seed=2).draw(7, 4))


def test_a_crop_shows_the_object_where_its_rows_and_columns_say() -> None:
    picture = a_picture()
    crop = cut_crop(picture.pixels(), picture.boxes[0], (0.6, 0.6), CropShape(crop=32, logits=32))
    red = (crop.pixels[:, :, 0] > 200) & (crop.pixels[:, :, 1] < 60)
    inside = (crop.rows[:, None] * crop.columns[None]).astype(bool)
    assert (red & inside).sum() / (red | inside).sum() > 0.8


def test_turning_moves_pixels_and_box_together() -> None:
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[1:3, 0:4] = 255
    rows, columns = np.array([0, 1, 1, 0, 0, 0], np.uint8), np.array([1, 1, 1, 1, 0, 0], np.uint8)
    seen = set()
    for seed in range(40):
        turned = _turned(CutCrop(pixels, rows, columns, 1), random.Random(seed), freely=True)
        np.testing.assert_array_equal(turned.pixels[:, :, 0] > 0, np.outer(turned.rows, turned.columns) > 0)
        seen.add(turned.pixels.tobytes())
    assert len(seen) == 8


def test_a_box_outside_its_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no area in an image of 80x60 pixels"):
        cut_crop(a_picture().pixels(), np.array([90, 0, 99, 9], np.float32), (0.6, 0.6), SHAPE)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order(workers: int) -> None:
    sampler = a_sampler()
    ahead = drawn_ahead(lambda step: sampler.draw(step, 2), range(3, 10), workers=workers)
    batches = list(ahead)
    assert len(batches) == 7
    assert all(same(batch, sampler.draw(step, 2)) for step, batch in zip(range(3, 10), batches, strict=True))


def test_boxes_are_read_without_their_masks(tmp_path: Path) -> None:
    from training.mal.pictures import load_coco

    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20], "segmentation": "not read"}
    crowd = annotation | {"id": 2, "iscrowd": 1}
    images = [{"id": number, "file_name": f"{number}.png", "width": 40, "height": 30} for number in (1, 2)]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"images": images, "annotations": [annotation, crowd], "categories": []}))
    (picture,) = load_coco(path, tmp_path)
    assert (picture.source, picture.boxes.tolist(), picture.masks) == (tmp_path / "1.png", [[1, 2, 11, 22]], ())
    with pytest.raises(ValueError, match="expected a list of polygons"):
        load_coco(path, tmp_path, masks=True)
