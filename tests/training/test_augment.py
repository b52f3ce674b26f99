"""Views keep boxes on their objects."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from autolabel_training.augment import View, mosaic_view, plain_view, random_view, shrunk_view, whole_view
from autolabel_training.photo import TrainingPhoto
from training.detector.data import Data

BOX = (30, 20, 70, 50)


@pytest.fixture
def photo(tmp_path: Path) -> TrainingPhoto:
    """A dark photo with one bright box."""
    pixels = np.full((80, 120, 3), 20, np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 220
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return TrainingPhoto(tmp_path / "photo.png", np.array([BOX], np.float32), ("card",))


def test_the_plain_view_is_the_whole_photo(photo: TrainingPhoto) -> None:
    view = plain_view(photo, 64)
    np.testing.assert_allclose(view.boxes, [[30 / 120, 20 / 80, 70 / 120, 50 / 80]], rtol=1e-6)
    assert view.pixels.shape == (64, 64, 3)


def _bright_part(view: View) -> NDArray[np.float64]:
    bright = view.pixels.mean(2) > view.pixels.mean(2).max() / 2
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / 128


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_random_views_keep_the_box_on_the_bright_card(photo: TrainingPhoto, seed: int, mirror: bool) -> None:
    view = random_view(photo, 128, rng=random.Random(seed), turn=True, kept_part=0.4, mirror=mirror)
    np.testing.assert_allclose(_bright_part(view), view.boxes[0], atol=0.02)


def test_views_that_are_not_mirrored_are_rotated_by_quarters(tmp_path: Path) -> None:
    """A corner is marked on a card: reading round the card clockwise, the long side after it stays the same."""
    pixels = np.full((90, 90, 3), 20, np.uint8)
    pixels[30:50, 20:70] = 200
    pixels[30:35, 20:25] = 255
    Image.fromarray(pixels).save(tmp_path / "card.png")
    card = TrainingPhoto(tmp_path / "card.png", np.array([[20, 30, 70, 50]], np.float32), ("card",))
    turned: set[tuple[bool, tuple[bool, bool]]] = set()
    for seed in range(40):
        view = random_view(card, None, rng=random.Random(seed), turn=True, kept_part=0.99, mirror=False)
        height, width = view.pixels.shape[:2]
        x0, y0, x1, y1 = (view.boxes[0] * [width, height, width, height]).round().astype(int)
        shown = view.pixels[y0:y1, x0:x1].mean(2)
        row, column = np.unravel_index(shown.argmax(), shown.shape)
        turned.add((x1 - x0 > y1 - y0, (bool(row < shown.shape[0] / 2), bool(column < shown.shape[1] / 2))))
    upright = {(True, (True, True)), (True, (False, False)), (False, (True, False)), (False, (False, True))}
    assert turned == upright, "a mirrored card would have its mark in another corner"


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_shrunk_views_show_all_of_it_smaller(photo: TrainingPhoto, seed: int, mirror: bool) -> None:
    view = shrunk_view(photo, 128, rng=random.Random(seed), mirror=mirror)
    x0, y0, x1, y1 = view.boxes[0]
    assert 0.49 < (x1 - x0) / (40 / 120) < 0.92
    assert 0.49 < (y1 - y0) / (30 / 80) < 0.92
    np.testing.assert_allclose(_bright_part(view), view.boxes[0], atol=0.02)


@pytest.mark.parametrize("turn", [True, False])
def test_whole_views_that_are_not_mirrored(photo: TrainingPhoto, turn: bool) -> None:
    views = [whole_view(photo, 128, rng=random.Random(seed), turn=turn, mirror=False) for seed in range(8)]
    corners = {tuple(view.boxes[0, :2].astype(float).round(3).tolist()) for view in views}
    as_it_is, upside_down = (0.25, 0.25), (round(50 / 120, 3), 0.375)
    assert corners == {as_it_is, upside_down} if turn else corners == {as_it_is}
    for view in views:
        np.testing.assert_allclose(_bright_part(view), view.boxes[0], atol=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_whole_views_keep_the_size_of_things(photo: TrainingPhoto, seed: int) -> None:
    view = whole_view(photo, 128, rng=random.Random(seed), turn=True)
    x0, y0, x1, y1 = view.boxes[0]
    assert (x1 - x0, y1 - y0) == (pytest.approx(40 / 120), pytest.approx(30 / 80))
    assert x0 in (pytest.approx(30 / 120), pytest.approx(50 / 120))
    assert y0 in (pytest.approx(20 / 80), pytest.approx(30 / 80))
    bright = view.pixels.mean(2) > view.pixels.mean(2).max() / 2
    np.testing.assert_allclose(np.flatnonzero(bright.any(0))[0] / 128, x0, atol=0.02)
    np.testing.assert_allclose(np.flatnonzero(bright.any(1))[0] / 128, y0, atol=0.02)


def test_boxes_that_a_crop_cuts_too_far_are_left_out(photo: TrainingPhoto) -> None:
    wide = TrainingPhoto(photo.path, np.array([[0, 0, 20, 80], [30, 20, 70, 50]], np.float32), ("edge", "card"))
    views = [random_view(wide, 64, rng=random.Random(seed), turn=False, kept_part=0.9) for seed in range(40)]
    assert any(view.names == ("card",) for view in views)
    loose = [random_view(wide, 64, rng=random.Random(seed), turn=False, kept_part=0.1) for seed in range(40)]
    assert sum("edge" in view.names for view in loose) > sum("edge" in view.names for view in views)


def test_test_files_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split must be one of train, dev, not test"):
        Data(tmp_path).photos("bccd", "test")


@pytest.mark.parametrize("seed", range(8))
def test_a_mosaic_shows_four_photos_each_with_its_box(photo: TrainingPhoto, tmp_path: Path, seed: int) -> None:
    """The photos have boxes of one colour each, on black: what has the colour lies in the box of the photo's name."""
    colours = {"red": (250, 0, 0), "green": (0, 250, 0), "blue": (0, 0, 250), "white": (250, 250, 250)}
    photos = []
    for name, colour in colours.items():
        pixels = np.zeros((80, 120, 3), np.uint8)
        pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = colour
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        photos.append(TrainingPhoto(tmp_path / f"{name}.png", photo.boxes, (name,)))
    view = mosaic_view(photos, 256, rng=random.Random(seed), kept_part=0.9)
    assert view.pixels.shape == (256, 256, 3)
    assert view.names == tuple(colours)
    centres = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
    assert [(bool(x > 0.5), bool(y > 0.5)) for x, y in centres] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]
    for (x0, y0, x1, y1), colour in zip((view.boxes * 256).round().astype(int), colours.values(), strict=True):
        inside = view.pixels[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1].astype(int)
        lit = np.array(colour) > 0
        assert (inside[..., lit].min() > 60) and (inside[..., ~lit] < 60).all()


def test_a_mosaic_needs_four_photos(photo: TrainingPhoto) -> None:
    with pytest.raises(ValueError, match="made of 4 photos, not 3"):
        mosaic_view([photo] * 3, 64, rng=random.Random(0), kept_part=0.4)
