"""Given boxes in the image as it is read."""

from __future__ import annotations

import pytest

from autolabel.data.given_boxes import fitted
from autolabel.data.inputs import GivenBox, Input
from autolabel.images import Header

UPRIGHT = Header(size=(240, 320))


def row(*boxes: tuple[float, float, float, float], stated: tuple[int, int] = (0, 0)) -> Input:
    given = tuple(GivenBox(box, 0, {"id": number}) for number, box in enumerate(boxes, 7))
    return Input(image="a.jpg", path="/a.jpg", boxes=given, stated=stated)


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((-5, -5, 30, 40), (0, 0, 30, 40)),
        ((300, 200, 400, 500), (300, 200, 320, 240)),
        ((-1e9, -1e9, 1e9, 1e9), (0, 0, 320, 240)),
        ((1e300, 0, 2e300, 5), None),
        ((320, 0, 330, 5), None),
        ((-9, 0, 0, 5), None),
        ((10, 20, 10, 40), None),
        ((10, 20, 30, 20), None),
        ((319.99999999, 0, 500, 5), None),
        ((319.9996, 0, 500, 5), None),
        ((10, 20, 10.0004, 40), None),
    ],
)
def test_boxes_lie_inside_the_image_or_are_left_out_by_name(
    box: tuple[float, float, float, float], wanted: tuple[float, ...] | None
) -> None:
    found = fitted(row(box, (1, 2, 3, 4)), UPRIGHT, rescale=False)
    assert [one.bbox for one in found.boxes] == [*([wanted] if wanted else []), (1, 2, 3, 4)]
    assert bool(found.notes) == (wanted is None)
    assert not wanted or not found.notes
    if wanted is None:
        assert found.notes[0].startswith("annotation 7 is left out: the box")


@pytest.mark.parametrize("stated", [(480, 640), (240, 321), (320, 240)])
def test_a_size_that_is_not_the_images_fails_it_by_name(stated: tuple[int, int]) -> None:
    found = fitted(row((1, 2, 3, 4), stated=stated), UPRIGHT, rescale=False)
    assert (found.code, found.boxes) == ("other_size", ())
    assert f"{stated[1]}x{stated[0]}" in found.message and "320x240" in found.message


@pytest.mark.parametrize("stated", [(0, 0), (240, 0), (0, 999), (240, 320)])
def test_a_size_that_is_not_stated_is_not_compared(stated: tuple[int, int]) -> None:
    found = fitted(row((1, 2, 3, 4), stated=stated), UPRIGHT, rescale=False)
    assert (found.code, found.boxes[0].bbox, found.stated) == ("", (1, 2, 3, 4), (0, 0))


def test_boxes_are_scaled_where_that_is_asked() -> None:
    found = fitted(row((100, 100, 640, 480), stated=(480, 640)), UPRIGHT, rescale=True)
    assert found.boxes[0].bbox == (50, 50, 320, 240) and "scaled from 640x480" in found.notes[0]


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [(5, (20, 10, 40, 30)), (6, (200, 10, 220, 30)), (7, (200, 290, 220, 310)), (8, (20, 290, 40, 310))],
)
def test_boxes_of_the_stored_pixels_are_turned_upright(orientation: int, wanted: tuple[float, ...]) -> None:
    header = Header(size=(320, 240), orientation=orientation)
    found = fitted(row((10, 20, 30, 40), stated=(240, 320)), header, rescale=False)
    assert found.boxes[0].bbox == wanted and "were turned" in found.notes[0]
    upright = fitted(row((10, 20, 30, 40), stated=(320, 240)), header, rescale=False)
    assert upright.boxes[0].bbox == (10, 20, 30, 40) and not upright.notes
