"""Which images are copies of one another, and labels of one checked image for all of its copies."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw, ImageEnhance
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.duplicates import same_picture
from autolabel.errors import DataError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.decision import Decision, Review, encode_review
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import ledger_of
from autolabel.results.review import apply_to_row, is_checked
from autolabel.results.store import RunStore, finished
from autolabel.run.duplicates import group_run
from autolabel.run.generate import generate
from autolabel.run.label_copies import label_copies
from autolabel.run.outputs import review_run
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Labels
from tests.specs import make_spec

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "bccd" / "images").glob("*.jpg"))


def opened(path: Path) -> Pillow.Image:
    return Pillow.open(path).convert("RGB")


def pixels_of(image: Pillow.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image, np.uint8)


def resaved(image: Pillow.Image, quality: int) -> Pillow.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Pillow.open(stream).convert("RGB")


def moved(image: Pillow.Image, *, side: int) -> Pillow.Image:
    """The same shot, in which a thing has moved."""
    changed = image.copy()
    changed.paste(image.crop((300, 200, 300 + side, 200 + side)).point(lambda value: 255 - value), (60, 300))
    return changed


COPIES = {
    "saved at quality 40": lambda image: resaved(image, 40),
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "half as large, odd": lambda image: image.resize((319, 239)),
    "twice as large": lambda image: image.resize((image.width * 2, image.height * 2)),
    "a little brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "without colour": lambda image: image.convert("L").convert("RGB"),
}
OTHERS = {
    "cut by a twentieth": lambda image: image.crop((32, 24, image.width, image.height)),
    "cut and enlarged": lambda image: image.crop((12, 9, image.width, image.height)).resize(image.size),
    "mirrored": lambda image: image.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Pillow.Transpose.ROTATE_90),
    "squeezed": lambda image: image.resize((image.width, image.height // 2)),
    "negative": lambda image: image.point(lambda value: 255 - value),
    "a small thing moved": lambda image: moved(image, side=16),
    "a large thing moved": lambda image: moved(image, side=80),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_saved_or_resized_picture_is_a_copy(name: str) -> None:
    for path in PHOTOS[:4]:
        image = opened(path)
        for one, other in ((image, COPIES[name](image)), (COPIES[name](image), image)):
            assert same_picture(pixels_of(one), pixels_of(other)), path.name


@pytest.mark.parametrize("name", OTHERS)
def test_another_frame_or_another_moment_is_no_copy(name: str) -> None:
    for path in PHOTOS[:4]:
        image = opened(path)
        for one, other in ((image, OTHERS[name](image)), (OTHERS[name](image), image)):
            assert not same_picture(pixels_of(one), pixels_of(other)), path.name


def test_photos_of_another_thing_and_plain_ones_are_no_copies() -> None:
    first, second = (pixels_of(opened(path)) for path in PHOTOS[:2])
    assert not same_picture(first, second)
    plain = np.full((64, 64, 3), 90, np.uint8)
    assert not same_picture(plain, plain), "two black frames of a video may hide anything"
    assert not same_picture(first[:6, :6], first[:6, :6]), "too small to be told"


@pytest.fixture
def run(tmp_path: Path, registry: Registry) -> Path:
    """A photo and its copies: resaved, resized; a tile of it; a shot in which something moved; another photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    image = opened(PHOTOS[0])
    draw = ImageDraw.Draw(image)
    draw.rectangle((100, 80, 199, 159), fill=(220, 30, 30))
    image.save(folder / "a.png")
    image.save(folder / "b-resaved.jpg", quality=60)
    image.resize((320, 240)).save(folder / "c-half.png")
    image.crop((0, 90, 640, 480)).save(folder / "d-tile.png")
    moved(image, side=60).save(folder / "e-shot.png")
    opened(PHOTOS[1]).save(folder / "f-other.png")
    spec = make_spec(folder, tmp_path / "run", data={"classes": ["red", "blue"], "duplicates": "group"})
    generate(
        compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry), registry=registry
    )
    return tmp_path / "run"


def decide(run: Path, registry: Registry, *decisions: Decision) -> None:
    _, plan = finished(run)
    review = run.parent / "decisions.json"
    review.write_bytes(encode_review(Review(version=2, plan=plan.digest, decisions=decisions)))
    review_run(run, review, registry=registry)


def rows(run: Path) -> dict[str, Labels]:
    """The labels with the decisions, of images that are checked as a whole."""
    store, plan = finished(run)
    review = read_decisions(store)
    assert review is not None
    found = ledger_of(store, plan)
    return {
        one.image.id: apply_to_row(one, review, classes=plan.manifest.classes)
        for one in found
        if is_checked(one, review)
    }


def check_first(run: Path, registry: Registry) -> None:
    """Check a.png: no box that was found is right, and two are drawn."""
    store, plan = finished(run)
    [row] = [one for one in ledger_of(store, plan) if one.image.id == "a.png"]
    wrong = [
        Decision(image="a.png", bbox=tuple(box), phrase=row.prompt.phrases[label], verdict="reject")
        for box, label in zip(row.instances.boxes.round(3).tolist(), row.instances.labels.tolist(), strict=True)
    ]
    drawn = [
        Decision(image="a.png", bbox=(100.0, 80.0, 200.0, 160.0), phrase="red", verdict="keep"),
        Decision(image="a.png", bbox=(500.0, 400.0, 640.0, 480.0), phrase="blue", verdict="keep"),
    ]
    decide(run, registry, *wrong, *drawn, Decision(image="a.png", verdict="checked"))


def test_copies_get_the_boxes_scaled_and_shots_and_tiles_get_none(run: Path, registry: Registry) -> None:
    check_first(run, registry)
    made = label_copies(run, registry=registry)
    assert made.copies == (("b-resaved.jpg", "a.png"), ("c-half.png", "a.png"))
    assert made.others == 2, "the tile and the other shot"
    found = rows(run)
    assert sorted(found) == ["a.png", "b-resaved.jpg", "c-half.png"]
    wanted = {"red": [100, 80, 200, 160], "blue": [500, 400, 640, 480]}
    for name, factor in (("a.png", 1), ("b-resaved.jpg", 1), ("c-half.png", 2)):
        row = found[name]
        boxes = {
            row.prompt.phrases[label]: box for label, box in zip(row.instances.labels, row.instances.boxes, strict=True)
        }
        assert sorted(boxes) == ["blue", "red"], name
        for phrase, box in boxes.items():
            assert np.abs(box * factor - wanted[phrase]).max() <= 2, (name, phrase)


def test_who_decided_is_told_and_doing_it_again_changes_nothing(run: Path, registry: Registry) -> None:
    check_first(run, registry)
    label_copies(run, registry=registry)
    review = read_decisions(RunStore(run))
    assert review is not None
    told = {one.image: one.reviewer for one in review.decisions}
    assert told == {"a.png": None, "b-resaved.jpg": "copy of a.png", "c-half.png": "copy of a.png"}
    coco = json.loads((run / "coco" / "annotations.json").read_text())
    names = {one["id"]: one["file_name"].rpartition("/")[2] for one in coco["images"]}
    assert sum(names[one["image_id"]] == "c-half.png" for one in coco["annotations"]) == 2, "the exports follow"
    before = (run / "review.jsonl").read_bytes()
    assert label_copies(run, registry=registry).copies == ()
    assert (run / "review.jsonl").read_bytes() == before


def test_what_a_person_decided_about_a_copy_stays(run: Path, registry: Registry) -> None:
    check_first(run, registry)
    own = Decision(image="c-half.png", bbox=(10.0, 10.0, 30.0, 30.0), phrase="blue", verdict="keep")
    decide(run, registry, own)
    assert label_copies(run, registry=registry).copies == (("b-resaved.jpg", "a.png"),)
    review = read_decisions(RunStore(run))
    assert review is not None
    assert [one.place for one in review.decisions if one.image == "c-half.png"] == [own.bbox]


def test_without_checked_images_or_groups_there_is_nothing_to_give(run: Path, registry: Registry) -> None:
    with pytest.raises(DataError, match="no image of this run is checked"):
        label_copies(run, registry=registry)
    check_first(run, registry)
    for name in ("a.png", "b-resaved.jpg", "c-half.png", "d-tile.png"):
        (run.parent / "photos" / name).unlink()
    assert label_copies(run, registry=registry).copies == (), "images that are gone cannot be compared"


def test_the_command(run: Path, registry: Registry) -> None:
    check_first(run, registry)
    said = CliRunner().invoke(app, ["duplicates", str(run), "--label-copies"])
    assert said.exit_code == 0, said.output
    assert "2 unchecked copies of checked images labelled like these, and checked" in said.output
    assert "c-half.png: copy of a.png" in said.output
    assert "2 unchecked images of the same scenes show them otherwise" in said.output
    again = CliRunner().invoke(app, ["duplicates", str(run), "--label-copies", "--json"])
    assert json.loads(again.output)["labelled"] == {}
    folder = CliRunner().invoke(app, ["duplicates", str(run.parent / "photos"), "--label-copies"])
    assert folder.exit_code == 1
    assert group_run(run, registry=registry).images >= 4
