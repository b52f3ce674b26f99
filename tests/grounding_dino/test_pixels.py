"""Resizing and padding: the originals' rule, and shapes that batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autolabel.errors import WeightsError
from autolabel_labeling.pixels import IMAGENET_MEAN, IMAGENET_STD, Shaping, read_shaping, resize_pixels, resized
from autolabel_labeling.tensors import to_tensor

SIDES = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (800, 800)),
        ((427, 640), (800, 1199)),
        ((640, 427), (1199, 800)),
        ((1080, 1920), (750, 1333)),
        ((1920, 1080), (1333, 750)),
        ((480, 640), (800, 1066)),
        ((800, 1000), (800, 1000)),
        ((100, 3000), (44, 1320)),
        ((1, 5000), (1, 5000)),
    ],
)
def test_sizes_follow_the_rule_of_the_originals(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(size, short=800, long=1333) == expected


@given(SIDES, SIDES)
def test_sizes_are_symmetric_and_near_their_bounds(height: int, width: int) -> None:
    small, large = sorted(resized((height, width), short=800, long=1333))
    assert resized((width, height), short=800, long=1333) == resized((height, width), short=800, long=1333)[::-1]
    assert 1 <= small <= 800
    if max(height, width) <= 1333 * min(height, width):
        assert large <= 1333 * (1 + 0.5 / max(small - 0.5, 0.5)) + 1


@given(SIDES, SIDES, st.sampled_from(["none", "bucket", "fixed"]))
def test_nothing_is_cut_off_by_padding(height: int, width: int, padding: str) -> None:
    shaping = Shaping(padding=padding)  # type: ignore[arg-type]
    inner, canvas = shaping.resized((height, width)), shaping.canvas((height, width))
    assert inner[0] <= canvas[0]
    assert inner[1] <= canvas[1]
    if padding == "none":
        assert inner == canvas
    if padding == "fixed" and max(inner) <= 1333:
        assert canvas == ((800, 1333) if width >= height or inner[0] <= inner[1] else (1333, 800))


def test_buckets_are_few_and_waste_little() -> None:
    shaping = Shaping(padding="bucket")
    sizes = [(height, width) for height in range(300, 1000, 7) for width in range(300, 1000, 7)]
    canvases = {shaping.canvas(size) for size in sizes}
    assert len(canvases) <= 16
    for size in ((480, 640), (427, 640), (640, 480), (500, 500), (1080, 1920)):
        inner, canvas = shaping.resized(size), shaping.canvas(size)
        assert inner[0] * inner[1] > 0.9 * canvas[0] * canvas[1]


def test_a_squashing_checkpoint_has_one_shape() -> None:
    shaping = Shaping(exact=(320, 320), padding="fixed")
    assert {shaping.canvas(size) for size in ((1, 9), (700, 200), (320, 320))} == {(320, 320)}


@pytest.mark.parametrize("name", ["processor_config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("nested", [True, False])
def test_a_processor_configuration_is_read(name: str, nested: bool, tmp_path: Path) -> None:
    content = {"size": {"shortest_edge": 600, "longest_edge": 1000}, "image_mean": [0, 0, 0], "image_std": [1, 1, 2]}
    (tmp_path / name).write_text(json.dumps({"image_processor": content} if nested else content))
    expected = Shaping(short_side=600, long_side=1000, mean=(0, 0, 0), std=(1, 1, 2))
    assert read_shaping(tmp_path) == expected


def test_a_processor_that_squashes_is_honoured(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text(json.dumps({"size": {"height": 320, "width": 300}}))
    assert read_shaping(tmp_path).exact == (320, 300)


def test_without_a_processor_the_originals_way_counts(tmp_path: Path) -> None:
    assert read_shaping(tmp_path) == read_shaping(tmp_path / "file.pth") == Shaping()
    assert Shaping().mean == IMAGENET_MEAN
    assert Shaping().std == IMAGENET_STD


@pytest.mark.parametrize("content", ["{", "[]", '{"size": {"height": "x", "width": 3}}', '{"image_mean": [1, 2]}'])
def test_a_broken_processor_configuration_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text(content)
    with pytest.raises(
        WeightsError, match=r"processor_config\.json: not (JSON|a configuration|an image processor's configuration)"
    ):
        read_shaping(tmp_path)


def test_pixels_are_normalised_at_the_top_left_and_padding_is_zero() -> None:
    images = [np.full((2, 3, 3), 255, np.uint8), np.zeros((3, 2, 3), np.uint8)]
    shaping = Shaping(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    batch = to_tensor(images, (4, 5), shaping, "cpu")
    pixels, valid = batch.pixels, batch.valid
    assert not batch.whole
    assert to_tensor(images[:1], (2, 3), shaping, "cpu").whole
    assert pixels.shape == (2, 3, 4, 5)
    assert torch.equal(pixels[0, :, 0, 0], torch.tensor([1.0, 3.0, 0.5]))
    assert torch.equal(pixels[1, :, 2, 1], torch.tensor([-1.0, -1.0, 0.0]))
    assert valid.sum((1, 2)).tolist() == [6, 6]
    assert not pixels[0, :, ~valid[0]].any()
    assert not pixels[1, :, ~valid[1]].any()


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert resize_pixels(pixels, (4, 4)) is pixels
    assert resize_pixels(pixels, (2, 6)).shape == (2, 6, 3)
