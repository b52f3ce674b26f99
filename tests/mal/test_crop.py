"""The crop about a box: where it lies, what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel_labeling.given_boxes import clip_box
from autolabel_mal.crop import CropRegion, box_profiles, crop_image, region, size_group


def box(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def test_the_margin_is_a_share_of_the_box_with_one_pixel_more_at_the_end() -> None:
    at = region(box(170, 40, 280, 170), (512, 512), (0.6, 0.6))
    assert (at.left, at.top, at.left + at.width, at.top + at.height) == (153, 20, 298, 191)
    assert at.columns == (170 - 153, 281 - 153)
    assert at.rows == (40 - 20, 171 - 20)


def test_margins_of_both_axes_are_their_own() -> None:
    at = region(box(100, 100, 200, 200), (512, 512), (0.0, 1.0))
    assert (at.left, at.width) == (100, 101)
    assert (at.top, at.height) == (75, 151)


def test_the_last_row_and_column_stay_inside_the_image() -> None:
    at = region(box(80, 60, 100, 80), (80, 100), (0.6, 0.6))
    assert at.left + at.columns[1] == 100
    assert at.top + at.rows[1] == 80


@pytest.mark.parametrize(
    ("side", "group"), [(32, 0), (32.01, 1), (96, 1), (96.01, 2), (0.5, 0), (500, 2)], ids=lambda value: str(value)
)
def test_sizes_that_the_originals_forget_belong_to_the_smaller_group(side: float, group: int) -> None:
    assert size_group(box(10, 10, 10 + side, 10 + side)) == group


@pytest.mark.parametrize(
    ("given", "clipped"),
    [
        ((-5, 2, 7, 9), (0, 2, 7, 9)),
        ((90, 70, 140, 95), (90, 70, 100, 80)),
        ((-3, -3, 300, 300), (0, 0, 100, 80)),
        ((100, 0, 120, 10), None),
        ((-9, 0, 0, 10), None),
        ((5, 5, 5, 9), None),
        ((9, 9, 5, 5), None),
        ((0, 0, float("nan"), 5), None),
        ((0, 0, float("inf"), 5), None),
    ],
)
def test_boxes_are_cut_to_the_image(given: tuple[float, ...], clipped: tuple[float, ...] | None) -> None:
    result = clip_box(box(*given), (80, 100))
    assert (result is None) == (clipped is None)
    if result is not None:
        assert tuple(result) == clipped


def test_outside_the_image_the_picture_starts_over() -> None:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    at = CropRegion(left=-2, top=4, width=8, height=8, columns=(2, 3), rows=(0, 1), group=0)
    rows, columns = [4, 5, 0, 1, 2, 3, 4, 5], [6, 7, 0, 1, 2, 3, 4, 5]
    assert np.array_equal(crop_image(pixels, at, 8), pixels[rows][:, columns])


def test_a_crop_several_times_the_image_repeats_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, 3), np.uint8)
    at = CropRegion(left=-4, top=-4, width=11, height=11, columns=(4, 6), rows=(4, 6), group=0)
    index = np.arange(-4, 7) % 3
    assert np.array_equal(crop_image(pixels, at, 11), pixels[index][:, index])


def test_profiles_multiply_to_the_resized_box_mask() -> None:
    generator = np.random.default_rng(1)
    for _ in range(60):
        height, width = generator.integers(2, 700, 2)
        top, left = generator.integers(0, height), generator.integers(0, width)
        bottom, right = generator.integers(top, height) + 1, generator.integers(left, width) + 1
        at = CropRegion(
            left=0,
            top=0,
            width=int(width),
            height=int(height),
            columns=(int(left), int(right)),
            rows=(int(top), int(bottom)),
            group=0,
        )
        mask = np.zeros((height, width), np.uint8)
        mask[top:bottom, left:right] = 1
        whole = np.asarray(Pillow.fromarray(mask).resize((128, 128), Pillow.Resampling.BICUBIC))
        assert np.array_equal(np.outer(*box_profiles(at, 128)), whole)
