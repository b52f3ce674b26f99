"""Near-duplicates of a run are kept beside it, follow its images, and are never parted by a split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image as Pillow

from autolabel.data.split import split_of
from autolabel.errors import DataError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.duplicates import duplicates_file, read_groups
from autolabel.results.store import RunStore, finished
from autolabel.run.duplicates import find_groups, group_folder, group_run
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

PHOTOS = sorted((Path(__file__).parents[2] / "examples" / "bccd" / "images").glob("*.jpg"))[:4]
FRACTIONS = {"train": 0.5, "val": 0.5}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos, each saved twice."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, path in enumerate(PHOTOS):
        Pillow.open(path).save(folder / f"{number}-first.png")
        Pillow.open(path).resize((320, 240)).save(folder / f"{number}-second.jpg", quality=70)
    return folder


def label(registry: Registry, photos: Path, *, mode: str = "resume", duplicates: str = "group") -> Path:
    spec = make_spec(
        photos,
        photos.parent / "run",
        data={"classes": ["red"], "duplicates": duplicates},
        run={"num_workers": 1},
        output={"split": FRACTIONS},
    )
    loaded = spec_from_mapping(spec, root=photos.parent, registry=registry)
    generate(compile_plan(loaded, registry=registry), registry=registry, mode=mode)
    return photos.parent / "run"


def members(run: Path) -> tuple[tuple[str, ...], ...]:
    store, plan = finished(run)
    return read_groups(store, plan).members


def parts(run: Path) -> dict[str, str]:
    """The part of the split that each image lies in."""
    found = {}
    for part in FRACTIONS:
        coco = json.loads((run / "coco" / part / "annotations.json").read_text())
        found |= {image["file_name"].rpartition("/")[2]: part for image in coco["images"]}
    return found


PAIRS = tuple((f"{number}-first.png", f"{number}-second.jpg") for number in range(4))


def test_groups_are_kept_and_no_split_parts_them(registry: Registry, photos: Path) -> None:
    alone = {name: split_of(name, fractions=FRACTIONS) for pair in PAIRS for name in pair}
    assert any(alone[first] != alone[second] for first, second in PAIRS), "without groups some would be parted"
    run = label(registry, photos)
    assert members(run) == PAIRS
    found = parts(run)
    assert sorted(found) == sorted(alone)
    assert all(found[first] == found[second] == alone[first] for first, second in PAIRS)


def test_without_the_option_nothing_is_looked_for(registry: Registry, photos: Path) -> None:
    run = label(registry, photos, duplicates="ignore")
    assert not duplicates_file(RunStore(run)).exists()
    assert members(run) == ()


def test_asking_later_labels_nothing_again_and_moves_the_split(registry: Registry, photos: Path) -> None:
    run = label(registry, photos, duplicates="ignore")
    before = (run / "labels.jsonl").read_bytes()
    assert group_run(run, registry=registry).members == PAIRS
    found = parts(run)
    assert all(found[first] == found[second] for first, second in PAIRS)
    assert (run / "labels.jsonl").read_bytes() == before


def test_groups_follow_the_images_of_an_extended_run(registry: Registry, photos: Path) -> None:
    run = label(registry, photos)
    Pillow.open(PHOTOS[0]).save(photos / "0-third.jpg", quality=50)
    (photos / "1-second.jpg").unlink()
    label(registry, photos, mode="extend")
    assert members(run) == ((*PAIRS[0], "0-third.jpg"), *PAIRS[2:])


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "no json"])
def test_a_damaged_file_is_refused_and_written_again(registry: Registry, photos: Path, damage: str) -> None:
    run = label(registry, photos)
    path = run / "duplicates.json"
    whole = path.read_text()
    path.write_text(
        {"cut": whole[:-20], "changed": whole.replace("0-second", "1-second"), "empty": "", "no json": "\0"}[damage]
    )
    with pytest.raises(DataError, match=r"duplicates\.json: is damaged"):
        members(run)
    with pytest.raises(DataError, match="damaged"):
        export_run(run, "yolo", [], registry=registry)
    label(registry, photos)
    assert path.read_text() == whole


def test_a_file_of_another_run_is_refused(registry: Registry, photos: Path) -> None:
    run = label(registry, photos)
    kept = (run / "duplicates.json").read_bytes()
    (photos / "0-first.png").unlink()
    label(registry, photos, mode="fresh")
    (run / "duplicates.json").write_bytes(kept)
    with pytest.raises(DataError, match="other images"):
        members(run)


def test_a_folder_can_be_searched_and_unreadable_images_are_named(
    photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "broken.jpg").write_bytes(PHOTOS[0].read_bytes()[:3000])
    (photos / "copy.png").write_bytes((photos / "0-first.png").read_bytes())
    assert group_folder(photos).members == ((*PAIRS[0], "copy.png"), *PAIRS[1:])
    (photos / "cut.jpg").write_bytes(PHOTOS[1].read_bytes()[:2000])
    caplog.clear()
    group_folder(photos)
    [told] = caplog.messages
    assert told.startswith("2 image(s) could not be read and were not compared, among them broken.jpg: ")


def test_a_run_that_was_not_named_here_tells_so_once_and_reads_no_image(
    registry: Registry, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (photos / "copy.png").write_bytes((photos / "0-first.png").read_bytes())
    run = label(registry, photos)
    (run / "duplicates.json").unlink()
    (run / ".seal").unlink()
    caplog.clear()
    store, plan = finished(run)
    assert find_groups(store, plan).members == (("0-first.png", "copy.png"),), "copies are told without their pixels"
    [told] = caplog.messages
    assert "its images are not read" in told
    with pytest.raises(DataError, match="the folders of its images are unknown on this machine"):
        group_run(run, registry=registry)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images below"):
        group_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        group_folder(tmp_path / "none")
