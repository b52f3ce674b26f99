"""Masks as run lengths: byte for byte those of pycocotools, and nothing read that adds up wrongly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from autolabel.types import Rle
from autolabel.types.runs import compress, expand, totals


def reference(frame: np.ndarray) -> str:
    counts: bytes = coco.encode(np.asfortranarray(frame, dtype=np.uint8))["counts"]
    return counts.decode("ascii")


def random_crop(generator: np.random.Generator, largest: int) -> tuple[np.ndarray, int, int, tuple[int, int]]:
    """Return a crop with its left, top, and image size; often one that touches an edge or fills a column."""
    height, width = generator.integers(1, largest, 2)
    rows, columns = generator.integers(1, height + 1), generator.integers(1, width + 1)
    if generator.random() < 0.2:
        rows = height
    left = generator.choice([0, width - columns, generator.integers(0, width - columns + 1)])
    top = generator.choice([0, height - rows, generator.integers(0, height - rows + 1)])
    crop = generator.random((rows, columns)) < generator.choice([0, 0.02, 0.5, 0.98, 1])
    return crop, int(left), int(top), (int(height), int(width))


def test_a_crop_is_encoded_as_its_whole_frame_is() -> None:
    generator = np.random.default_rng(0)
    for _ in range(3000):
        crop, left, top, size = random_crop(generator, 40)
        frame = np.zeros(size, bool)
        frame[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        rle = Rle.from_crop(crop, left=left, top=top, size=size)
        assert rle.counts == reference(frame), (crop.shape, left, top, size)
        assert rle.size == size


def test_large_masks_too() -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        crop, left, top, size = random_crop(generator, 2000)
        frame = np.zeros(size, bool)
        frame[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        assert Rle.from_crop(crop, left=left, top=top, size=size).counts == reference(frame)


@pytest.mark.parametrize(
    "frame", [np.zeros((3, 4)), np.ones((3, 4)), np.eye(5) * 200, np.ones((1, 1)), np.zeros((1, 1))]
)
def test_encode_counts_anything_but_zero_as_inside(frame: np.ndarray) -> None:
    rle = Rle.encode(frame.astype(np.uint8))
    assert rle.counts == reference(frame != 0)
    assert np.array_equal(rle.decode(), frame != 0)
    assert rle.area() == (frame != 0).sum()


@pytest.mark.parametrize(("left", "top"), [(-1, 0), (0, -1), (7, 0), (0, 6)])
def test_a_crop_outside_its_image_is_refused(left: int, top: int) -> None:
    with pytest.raises(ValueError, match="exceeds the image"):
        Rle.from_crop(np.ones((5, 4), bool), left=left, top=top, size=(10, 10))


def test_text_and_runs_are_opposites() -> None:
    generator = np.random.default_rng(2)
    for _ in range(300):
        runs = generator.integers(0, generator.choice([2, 50, 100_000, 2**31]), generator.integers(1, 30))
        assert np.array_equal(expand(compress(runs)), runs)


def test_sums_of_many_texts_at_once() -> None:
    generator = np.random.default_rng(3)
    runs = [generator.integers(0, 10 ** generator.integers(1, 7), generator.integers(1, 30)) for _ in range(500)]
    assert totals([compress(one) for one in runs]).tolist() == [int(one.sum()) for one in runs]


def test_a_negative_run_makes_no_sum() -> None:
    generator = np.random.default_rng(4)
    runs = [generator.integers(-1, 30, generator.integers(1, 20)) for _ in range(500)]
    expected = [-1 if (one < 0).any() else int(one.sum()) for one in runs]
    assert 0 < expected.count(-1) < 500
    assert totals([compress(one) for one in runs]).tolist() == expected


def test_sums_of_texts_that_are_none() -> None:
    assert totals([]).tolist() == []
    assert totals(["", "é5", "5", "P", "!", "oooooooooo0", "05"]).tolist() == [-1, -1, 5, -1, -1, -1, 5]


def test_bounds_are_half_open() -> None:
    frame = np.zeros((20, 30), bool)
    assert Rle.encode(frame).bounds() == (0, 0, 0, 0)
    frame[4:9, 11] = True
    frame[6, 3:20] = True
    assert Rle.encode(frame).bounds() == (3, 4, 20, 9)
    frame[:] = True
    assert Rle.encode(frame).bounds() == (0, 0, 30, 20)


def test_coco_segmentations_of_all_three_forms() -> None:
    frame = np.zeros((20, 30), bool)
    frame[5:10, 4:12] = True
    rle = Rle.encode(frame)
    runs = expand(rle.counts).tolist()
    square = [4.0, 5.0, 12.0, 5.0, 12.0, 10.0, 4.0, 10.0]
    assert Rle.from_coco(rle.as_coco(), (20, 30)) == rle
    assert Rle.from_coco({"size": [20, 30], "counts": runs}, (20, 30)) == rle
    assert Rle.from_coco([square], (20, 30)) == rle
    both = Rle.from_coco([square, [20, 1, 25, 1, 25, 3, 20, 3]], (20, 30))
    assert both.area() == 40 + 10


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [20, 30], "counts": [5, 10]}, "too short: its runs add up to 15, the image has 600 pixels"),
        ({"size": [20, 30], "counts": [500, 200]}, "too long: its runs add up to 700, the image has 600 pixels"),
        ({"size": [20, 30], "counts": [700, -100]}, "not negative"),
        ({"size": [20, 30], "counts": [600.0]}, "a string or a list of integers"),
        ({"size": [20, 30], "counts": [True, 599]}, "a string or a list of integers"),
        ({"size": [20, 30], "counts": [2**40]}, "a string or a list of integers"),
        ({"size": [20, 30], "counts": []}, "too short"),
        ({"size": [20, 30], "counts": ""}, "too short"),
        ({"size": [20, 30], "counts": "5"}, "too short"),
        ({"size": [20, 30], "counts": "P"}, "not a COCO string"),
        ({"size": [20, 30], "counts": "\x01"}, "not a COCO string"),
        ({"size": [20, 30], "counts": "é"}, "must be ASCII"),
        ({"size": [20, 30], "counts": "oooooooooo0"}, "more than 32 bits"),
        ({"size": [20, 30], "counts": compress(np.asarray([700, -100]))}, "negative run"),
        ({"size": [30, 20], "counts": [600]}, r"must be \[20, 30\] as the image is, got \[30, 20\]"),
        ({"counts": [600]}, "got None"),
        ({"size": [20, 30]}, "a string or a list of integers"),
        ([], "no polygon"),
        ([[1, 2, 3, 4]], "at least 6 coordinates, got 4"),
        ([[1, 2, 3, 4, 5, 6, 7]], "an even number"),
        ([[1, 2, 3, 4, 5, "6"]], "a list of numbers"),
        ([1, 2, 3, 4, 5, 6], "a list of numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
        ([[1, 2, 3, 4, 5, 1e12]], "farther out than 480"),
        ("5", "got str"),
        (None, "got NoneType"),
    ],
)
def test_faulty_segmentations_say_what_is_wrong(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rle.from_coco(segmentation, (20, 30))


@pytest.mark.parametrize("size", [(480, 640), (4000, 4000), (10_000, 10_000)])
def test_an_outline_that_would_take_all_memory_is_refused(size: tuple[int, int]) -> None:
    far = 15.0 * max(size)
    zigzag = [value for number in range(500) for value in (0.0 if number % 2 else far, float(number))]
    with pytest.raises(ValueError, match="pixels long, at most 1,000,000 each"):
        Rle.from_coco([zigzag], size)
    many = [[0.0, 0.0, 900.0, 900.0, float(number % 900), 0.0] for number in range(4000)]
    with pytest.raises(ValueError, match="the outlines of 4000 polygons are"):
        Rle.from_coco(many, size)


def test_a_long_outline_of_a_large_photo_is_read() -> None:
    comb = [value for number in range(60) for value in (float(number * 100), 5000.0 if number % 2 else 10.0)]
    assert Rle.from_coco([[*comb, 6000.0, 0.0, 0.0, 0.0]], (6000, 6000)).area() > 0
