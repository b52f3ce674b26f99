"""Pictures with boxes, masks and texts drawn in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow

from autolabel.report.palette import COLOURS, Palette, ink, luminance
from autolabel.report.pictures import draw_rows, picture_name, short_label, write_pictures
from autolabel.report.typeface import font_for, has
from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle

GREY = 128


def labels(
    path: Path | str = "a.jpg", boxes: Any = (), *, size: tuple[int, int] = (120, 160), **columns: Any
) -> Labels:
    n = len(boxes)
    instances = Instances.build(
        boxes,
        scores=columns.get("scores", [0.5] * n),
        labels=columns.get("labels", [0] * n),
        masks=columns.get("masks"),
    )
    name = Path(path).name
    phrases = columns.get("phrases", ("cat", "dog"))
    return Labels(image=Image(id=name, path=str(path), size=size), prompt=Prompt(phrases), instances=instances)


def grey(size: tuple[int, int] = (120, 160)) -> npt.NDArray[np.uint8]:
    return np.full((*size, 3), GREY, np.uint8)


def changed(picture: Pillow.Image) -> npt.NDArray[np.bool_]:
    return (np.asarray(picture) != GREY).any(axis=2)


def test_a_box_is_drawn_inside_its_edges_in_the_colour_of_its_class() -> None:
    picture = np.asarray(draw_rows(grey(), [labels(boxes=[[20, 50, 90, 100]], labels=[1])], colours=Palette()))
    for x, y in ((20, 60), (89, 60), (50, 99), (80, 50)):
        assert tuple(picture[y, x]) == COLOURS[1], (x, y)
    assert (picture[60:90, 30:80] == GREY).all()
    assert (picture[101:, :] == GREY).all() and (picture[:, 91:] == GREY).all()


def test_the_pixels_given_stay_as_they_were() -> None:
    pixels, mask = grey(), np.ones((120, 160), bool)
    draw_rows(pixels, [labels(boxes=[[0, 0, 160, 120]], masks=[Rle.encode(mask)])], colours=Palette())
    assert (pixels == GREY).all()


def test_a_mask_is_tinted_and_edged() -> None:
    mask = np.zeros((120, 160), bool)
    mask[40:90, 40:120] = True
    mask[60:70, 70:90] = False
    picture = np.asarray(
        draw_rows(grey(), [labels(boxes=[[30, 30, 130, 110]], masks=[Rle.encode(mask)])], colours=Palette())
    )
    tinted = [int(0.6 * GREY + 0.4 * value) for value in COLOURS[0]]
    assert np.abs(picture[50, 50].astype(int) - tinted).max() <= 1
    assert tuple(picture[40, 60]) == COLOURS[0] and tuple(picture[59, 80]) == COLOURS[0]
    assert (picture[62:68, 72:88] == GREY).all()


def test_text_is_there_and_readable_in_every_script_that_this_machine_has() -> None:
    blank = changed(draw_rows(grey(), [labels(boxes=[[20, 60, 150, 110]], phrases=("",))], colours=Palette()))
    worded = changed(draw_rows(grey(), [labels(boxes=[[20, 60, 150, 110]], phrases=("élan",))], colours=Palette()))
    assert worded[:60].sum() > blank[:60].sum()
    font = font_for("éÄБα", size=20)
    if has(font, "é"):
        shapes = {bytes(font.getmask(letter)) for letter in "éÄБα"}
        assert len(shapes) == 4


def test_texts_never_cover_each_other_and_stay_inside() -> None:
    crowd = [[10, 40, 150, 118]] * 8
    picture = draw_rows(grey(), [labels(boxes=crowd, scores=np.linspace(0.1, 0.9, 8))], colours=Palette())
    assert picture.size == (160, 120)
    one = draw_rows(grey(), [labels(boxes=crowd[:1], scores=[0.9])], colours=Palette())
    assert changed(picture).sum() > changed(one).sum()


def test_every_kind_of_box_can_be_drawn() -> None:
    boxes = [[0, 0, 160, 120], [5, 5, 5.2, 5.2], [159.5, 119.5, 160, 120], [0, 0, 1, 120], [10, 10, 12, 11]]
    assert changed(draw_rows(grey(), [labels(boxes=boxes)], colours=Palette())).any()
    assert draw_rows(grey((1, 1)), [labels(boxes=[[0, 0, 1, 1]], size=(1, 1))], colours=Palette()).size == (1, 1)
    assert not changed(draw_rows(grey(), [labels()], colours=Palette())).any()


def test_captions_of_an_image_share_its_picture() -> None:
    rows = [labels(boxes=[[5, 40, 40, 100]], phrases=("cat",)), labels(boxes=[[80, 40, 150, 100]], phrases=("dog",))]
    picture = np.asarray(draw_rows(grey(), rows, colours=Palette()))
    assert tuple(picture[70, 5]) == COLOURS[0] and tuple(picture[70, 80]) == COLOURS[1]


def test_colours_are_stable_and_ink_reads_well_on_them() -> None:
    palette = Palette()
    first = [palette(name) for name in ("a", "b", "c")]
    assert [palette(name) for name in ("c", "b", "a")] == first[::-1]
    assert len(set(COLOURS)) == len(COLOURS)
    for colour in COLOURS:
        dark, light = sorted((luminance(colour), luminance(ink(colour))))
        assert (light + 0.05) / (dark + 0.05) > 4


def test_long_and_broken_phrases_become_one_short_line() -> None:
    assert short_label("a\n\tb\x07  c") == "a b c"
    assert len(short_label("x" * 500)) == 40


def test_pictures_mirror_the_folders_of_the_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = []
    for name in ("a.jpg", "b.png", "in/c.jpg"):
        Pillow.new("RGB", (160, 120), (GREY,) * 3).save(tmp_path / name)
        row = labels(tmp_path / name, [[20, 50, 90, 100]])
        object.__setattr__(row.image, "id", name)
        rows.append(row)
    out = tmp_path / "out"
    assert write_pictures(rows, out) == 3
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.jpg")) == ["a.jpg", "b.png.jpg", "in/c.jpg"]
    with Pillow.open(out / "in/c.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (160, 120))
    assert write_pictures(rows, tmp_path / "few", limit=2) == 2


def test_images_that_cannot_be_drawn_are_skipped(tmp_path: Path) -> None:
    Pillow.new("RGB", (50, 50)).save(tmp_path / "other.jpg")
    failed = labels("f.jpg")
    object.__setattr__(failed, "reason", Reason(code="missing", message="no such file"))
    rows = [labels(tmp_path / "gone.jpg"), labels(tmp_path / "other.jpg", [[0, 0, 9, 9]]), failed]
    assert write_pictures(rows, tmp_path / "out") == 0


NAMES = [
    "a.jpg", "a.png", "a.png.jpg", "a.jpg.jpg", "a", "a.b", "b/a.jpg", "A.JPG", "../x.jpg", "x.jpg", "/x.jpg", ".jpg",
    "new\nline.jpg", "new_line.jpg", "é" * 127, "back\\slash.jpg", "a.jpeg", "a.jpeg.jpg", "x" * 255, "", "jpg",
]  # fmt: skip


def test_no_two_images_share_a_picture() -> None:
    made = [picture_name(name) for name in NAMES]
    assert len(set(made)) == len(NAMES)
    for name in made:
        assert not name.startswith("/") and ".." not in name.split("/") and name.casefold().endswith(".jpg")
        assert all(len(part.encode()) <= 255 for part in name.split("/"))


@pytest.mark.parametrize("objects", [3, 30, 90])
def test_the_same_labels_give_the_same_picture(objects: int) -> None:
    boxes = [[5 + 13 * (i % 11), 30 + 10 * (i // 11), 15 + 13 * (i % 11), 38 + 10 * (i // 11)] for i in range(objects)]
    first, second = (draw_rows(grey(), [labels(boxes=boxes)], colours=Palette()) for _ in range(2))
    assert first.tobytes() == second.tobytes()
