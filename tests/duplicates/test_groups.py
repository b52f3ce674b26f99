"""Which images show the same scene: changed copies, overlapping tiles; not two scenes that look alike."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageEnhance

from autolabel.duplicates import Groups, Landmarks, group, landmarks
from autolabel.duplicates.matching import candidates, match

Pixels = npt.NDArray[np.uint8]
PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "bccd" / "images").glob("*.jpg"))


def opened(path: Path) -> Pillow.Image:
    return Pillow.open(path).convert("RGB")


def marks_of(image: Pillow.Image) -> Landmarks:
    return landmarks(np.asarray(image, np.uint8))


def resaved(image: Pillow.Image, quality: int) -> Pillow.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Pillow.open(stream).convert("RGB")


COPIES = {
    "saved at quality 40": lambda image: resaved(image, 40),
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice as large": lambda image: image.resize((image.width * 2, image.height * 2)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "without colour": lambda image: image.convert("L").convert("RGB"),
    "moved by twelve pixels": lambda image: image.crop((12, 12, image.width, image.height)).resize(image.size),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_changed_copy_is_the_same_scene(name: str) -> None:
    for path in PHOTOS[:4]:
        image = opened(path)
        assert match(marks_of(image), marks_of(COPIES[name](image))) is not None, path.name


def test_tiles_that_overlap_are_one_scene_and_the_shift_is_found() -> None:
    image = opened(PHOTOS[0])
    left, right = image.crop((0, 0, 400, 480)), image.crop((240, 0, 640, 480))
    found = match(marks_of(left), marks_of(right))
    assert found is not None
    factor = 320 / 480
    assert abs(found.shift[0]) <= 2
    assert abs(found.shift[1] - 240 * factor) <= 3


def test_different_photos_of_the_same_kind_are_no_duplicates() -> None:
    marks = [marks_of(opened(path)) for path in PHOTOS]
    assert [(a, b) for a, b in combinations(range(len(marks)), 2) if match(marks[a], marks[b])] == []


def test_a_logo_in_the_corner_makes_no_scene() -> None:
    stamped = []
    for path in PHOTOS[:4]:
        image = opened(path)
        draw = ImageDraw.Draw(image)
        draw.rectangle((20, 20, 170, 90), fill="white")
        draw.text((30, 30), "CAMERA 07\n2026-11-28 10:00", fill="black", font_size=18)
        stamped.append(marks_of(image))
    assert not any(match(a, b) for a, b in combinations(stamped, 2))


def test_pictures_without_structure_match_nothing() -> None:
    plain = landmarks(np.full((300, 400, 3), 128, np.uint8))
    assert len(plain.places) == 0
    assert match(plain, plain) is None
    assert list(candidates([plain, plain])) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (31, 31)])
def test_pictures_of_odd_sizes_can_be_looked_at(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    assert len(landmarks(rng.integers(0, 256, (*size, 3), np.uint8)).hashes) <= 144


def test_candidates_hold_every_pair_that_matches() -> None:
    images = [opened(path) for path in PHOTOS[:6]]
    marks = [marks_of(image) for image in images] + [marks_of(resaved(image, 50)) for image in images]
    marks.append(Landmarks.none())
    pairs = set(candidates(marks))
    assert {(index, index + 6) for index in range(6)} <= pairs
    assert len(pairs) < len(marks) * (len(marks) - 1) / 2


def test_many_copies_of_one_image_are_one_group() -> None:
    image = opened(PHOTOS[0])
    copies = [(f"{quality}.jpg", marks_of(resaved(image, quality))) for quality in range(30, 90, 3)]
    assert group(copies).members == (tuple(sorted(name for name, _ in copies)),)


def test_known_copies_are_grouped_whatever_they_show() -> None:
    blank = Landmarks.none()
    groups = group([("b.png", blank), ("a.png", blank), ("c.png", blank)], same=[("a.png", "b.png")])
    assert groups == Groups((("a.png", "b.png"),))
    assert (groups.key("b.png"), groups.key("c.png"), groups.images) == ("a.png", "c.png", 2)
