"""Photos that are nearly the same have the same labels, or that is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from autolabel.doubts.near_duplicates import LabelledPhoto, differences
from autolabel.duplicates import Groups

MOST = 1 << 30


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """A picture of soft noise."""
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    path = tmp_path / "a.png"
    Pillow.fromarray(noise).resize((160, 120), Pillow.Resampling.BICUBIC).save(path)
    return str(path)


def labelled(name: str, path: str, *boxes: tuple[float, float, float, float], scale: float = 1) -> LabelledPhoto:
    return LabelledPhoto(
        name=name,
        path=path,
        size=(int(120 * scale), int(160 * scale)),
        boxes=np.array(boxes, float).reshape(-1, 4) * scale,
        classes=np.zeros(len(boxes), np.int64),
    )


def told(*photos: LabelledPhoto) -> dict[str, tuple[str, int, float]]:
    groups = Groups((tuple(one.name for one in photos),))
    found = differences({one.name: one for one in photos}, groups, max_pixels=MOST)
    return {name: (one.twin, one.boxes, one.share) for name, one in found.items()}


def test_a_resized_copy_is_compared_place_for_place(photo: str, tmp_path: Path) -> None:
    copy = tmp_path / "b.jpg"
    Pillow.open(photo).resize((320, 240)).save(copy, quality=70)
    one = labelled("a", photo, (10, 10, 40, 40), (80, 20, 120, 60))
    assert told(one, labelled("b", str(copy), (10, 10, 41, 40), (80, 21, 120, 60), scale=2)) == {}
    less = labelled("b", str(copy), (10, 10, 41, 40), scale=2)
    assert told(one, less) == {"a": ("b", 1, 0.5), "b": ("a", 1, 0.5)}
    elsewhere = labelled("b", str(copy), (10, 10, 41, 40), (20, 70, 60, 110), scale=2)
    assert told(one, elsewhere)["a"] == ("b", 2, 2 / 3)


def test_a_moved_shot_of_the_same_scene_is_not_compared(photo: str, tmp_path: Path) -> None:
    moved = tmp_path / "b.png"
    Pillow.fromarray(np.roll(np.asarray(Pillow.open(photo)), 60, axis=1)).save(moved)
    assert told(labelled("a", photo, (10, 10, 40, 40)), labelled("b", str(moved))) == {}


def test_photos_that_are_flat_or_gone_say_nothing(photo: str, tmp_path: Path) -> None:
    flat = tmp_path / "flat.png"
    Pillow.new("RGB", (160, 120), "grey").save(flat)
    gone = labelled("gone", str(tmp_path / "none.png"))
    assert told(labelled("a", photo, (10, 10, 40, 40)), labelled("flat", str(flat)), gone) == {}


def test_the_twin_whose_labels_differ_most_is_told(photo: str) -> None:
    box = (10.0, 10.0, 40.0, 40.0)
    found = told(labelled("a", photo, box), labelled("b", photo), labelled("c", photo, box, (90, 90, 120, 110)))
    assert found["b"] == ("c", 2, 1.0)
    assert found["a"][0] == "b"
