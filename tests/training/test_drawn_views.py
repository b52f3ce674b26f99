"""What a step of `autolabel train` sees: each class as often, mosaics, smaller photos, photos without boxes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel_training.photo import TrainingPhoto
from autolabel_training.settings import TrainingSettings
from autolabel_training.views import Views

SIDE = 64


def photo(folder: Path, name: str, shade: int, names: tuple[str, ...]) -> TrainingPhoto:
    """A plain photo of 100 x 50 with a bright thing of 20 x 20 for each name."""
    pixels = np.full((50, 100, 3), shade, np.uint8)
    boxes = [[10 + 30 * number, 10, 30 + 30 * number, 30] for number in range(len(names))]
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = 240
    Pillow.fromarray(pixels).save(folder / f"{name}.png")
    return TrainingPhoto(folder / f"{name}.png", np.array(boxes, np.float32).reshape(-1, 4), names)


@pytest.fixture
def photos(tmp_path: Path) -> list[TrainingPhoto]:
    """Eight photos of fish, one of a shark beside a fish, one of nothing."""
    fish = [photo(tmp_path, f"fish{number}", 60 + number, ("fish",)) for number in range(8)]
    return [*fish, photo(tmp_path, "shark", 90, ("shark", "fish")), photo(tmp_path, "empty", 30, ())]


def drawn(photos: list[TrainingPhoto], count: int = 300, **settings: float) -> list[tuple[int, int, tuple[str, ...]]]:
    """Height, width and names of views."""
    views = Views(photos, TrainingSettings.model_validate(settings), side=SIDE)
    found = [views.draw(random.Random(seed)) for seed in range(count)]
    return [(*view.pixels.shape[:2], view.names) for view in found]


def share(found: list[tuple[int, int, tuple[str, ...]]], name: str) -> float:
    return sum(name in names for _, _, names in found) / len(found)


def test_a_rare_class_is_seen_as_often_and_photos_of_nothing_keep_their_share(photos: list[TrainingPhoto]) -> None:
    even, plain = (drawn(photos, mosaics=0, shrunk=0, balanced=one) for one in (True, False))
    assert 0.35 < share(even, "shark") < 0.55
    assert share(plain, "shark") < 0.2
    for found in (even, plain):
        assert 0.04 < sum(not names for _, _, names in found) / len(found) < 0.18


def test_mosaics_are_squares_of_four_and_shrunk_views_are_larger_than_the_photo(photos: list[TrainingPhoto]) -> None:
    mosaics = drawn(photos, 40, mosaics=1, shrunk=0)
    assert {(height, width) for height, width, _ in mosaics} == {(SIDE, SIDE)}
    assert max(len(names) for _, _, names in mosaics) > 2
    like_photos = Views(photos, TrainingSettings.model_validate({"mosaics": 1}), side=None)
    assert {like_photos.draw(random.Random(seed)).pixels.shape for seed in range(8)} == {(50, 100, 3)}
    shrunk = drawn(photos, 40, mosaics=0, shrunk=1)
    assert all(height > 50 and width > 100 for height, width, _ in shrunk)
    counts = Counter((height, width) == (50, 100) for height, width, _ in drawn(photos, mosaics=0, shrunk=0))
    assert counts[True] > 60, "whole photos"
    assert counts[False] > 60, "and crops"


@pytest.mark.parametrize("kept", [slice(0, 1), slice(9, 10)])
def test_one_photo_is_enough(photos: list[TrainingPhoto], kept: slice) -> None:
    for height, width, names in drawn(photos[kept], 30, mosaics=0.5):
        assert height and width
        assert set(names) <= set(photos[kept][0].names)
