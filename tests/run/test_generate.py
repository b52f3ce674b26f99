"""Whole runs with the free example labeler."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.errors import BusyError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.results.summary import Summary
from autolabel.run.generate import generate, write_plan
from autolabel.run.stage_labeler import concluded
from autolabel.run.worker import Watch
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image as Photo
from autolabel.types import Instances, Labels, Prompt, Rle
from tests.specs import make_spec

Make = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures in two folders: a red and a paler blue rectangle on each but the last, which is grey."""
    from autolabel_colors import Rectangle, save

    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index in range(6):
        name = folder / ("more" if index % 2 else "") / f"{index}.png"
        rectangles = [Rectangle(2 + index, 3, 20, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.45)]
        save(name, rectangles if index < 5 else [])
    return folder


def mapping(photos: Path, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            photos,
            photos.parent / "run",
            classes=["red", "blue", "green"],
            stages=[
                {
                    "labeler": {"type": "colors"},
                    "scheduler": {"type": "step", "rounds": 3, "start": 0.6, "end": 0.2},
                    "aggregator": {"type": "nms", "threshold": 0.5},
                    "ask": "all",
                }
            ],
            run={"shard_size": 2, "batch_size": 2, "num_workers": 2},
        )
        | changes
    )


def run(registry: Registry, spec: dict[str, Any], **options: Any) -> Summary:
    loaded = spec_from_mapping(spec, root=Path.cwd(), registry=registry)
    return generate(compile_plan(loaded, registry=registry), registry=registry, **options)


def test_labels_every_image_and_tells_in_which_round(registry: Registry, photos: Path) -> None:
    summary = run(registry, mapping(photos))
    assert dict(summary.states) == {"labelled": 5, "empty": 1}
    assert dict(summary.found) == {("red", 0): 5, ("blue", 1): 5}
    rows = [json.loads(line) for line in (photos.parent / "run" / "labels.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["0.png", "2.png", "4.png", "more/1.png", "more/3.png", "more/5.png"]
    red = next(instance for instance in rows[0]["instances"] if instance["phrase"] == "red")
    assert red["bbox"] == [2, 3, 20, 20]
    assert rows[0]["plan"] == json.loads((photos.parent / "run" / "plan.json").read_text())["digest"]


def test_boxes_carry_the_class_and_the_phrase_that_found_them(registry: Registry, photos: Path) -> None:
    classes = {"warm": ["red", "yellow"], "blue": {"negatives": ["cyan"]}}
    data = {"images": [str(photos)], "classes": classes, "negatives": ["black"]}
    summary = run(registry, mapping(photos, data=data))
    assert dict(summary.found) == {("warm", 0): 5, ("blue", 1): 5}
    row = json.loads((photos.parent / "run" / "labels.jsonl").read_text().splitlines()[0])
    assert row["phrases"] == ["warm", "blue"]
    assert {one["phrase"]: one.get("asked") for one in row["instances"]} == {"warm": "red", "blue": None}
    annotations = json.loads((photos.parent / "run" / "coco" / "annotations.json").read_text())
    assert [category["name"] for category in annotations["categories"]] == ["warm", "blue"]


def test_several_labelers_vote(registry: Registry, photos: Path) -> None:
    """The second sees nothing below 25 pixels, so that only blue has two supporters."""
    stage = {
        "labelers": [{"type": "colors"}, {"type": "colors", "min_side": 20}],
        "combine": {"type": "vote", "votes": 2},
        "scheduler": {"type": "fixed", "rounds": [{"conf_threshold": 0.6}, {"conf_threshold": 0.4}]},
        "ask": "all",
    }
    summary = run(registry, mapping(photos, stages=[stage]))
    assert dict(summary.found) == {("blue", 1): 5}
    root = photos.parent / "run"
    row = json.loads((root / "labels.jsonl").read_text().splitlines()[0])
    assert [one["sources"] for one in row["instances"]] == [["colors", "colors-2"]]
    assert (root / "stages" / "0-consensus").is_dir()
    both = mapping(photos, stages=[{**stage, "combine": {}}], results_dir=str(photos.parent / "union"))
    assert dict(run(registry, both).found) == {("red", 0): 5, ("blue", 1): 5}
    row = json.loads((photos.parent / "union" / "labels.jsonl").read_text().splitlines()[0])
    assert {one["phrase"]: one["sources"] for one in row["instances"]} == {
        "red": ["colors"],
        "blue": ["colors", "colors-2"],
    }


def test_tiles_of_an_image_give_its_boxes(registry: Registry, photos: Path) -> None:
    """Tiles overlap by 24 pixels; red is 18 wide at most, and blue, 30 tall, is seen in the whole image."""
    stage = {**mapping(photos)["stages"][0], "tiles": {"size": 48, "overlap": 0.5}}
    summary = run(registry, mapping(photos, stages=[stage], results_dir=str(photos.parent / "tiled")))
    assert summary.states == run(registry, mapping(photos)).states
    texts = [(photos.parent / name / "labels.jsonl").read_text() for name in ("tiled", "run")]
    rows = [[json.loads(line)["instances"] for line in text.splitlines()] for text in texts]
    assert rows[0] == rows[1]


def test_a_second_run_labels_nothing_again_and_changes_no_byte(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos))
    root = photos.parent / "run"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in (root / "stages").rglob("*.jsonl")}
    run(registry, mapping(photos))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}.items() >= before.items()
    assert {path: path.stat().st_mtime_ns for path in (root / "stages").rglob("*.jsonl")} == times


def test_what_is_missing_is_labelled_again_to_the_same_bytes(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos))
    root = photos.parent / "run"
    before = (root / "labels.jsonl").read_bytes()
    next((root / "stages").rglob("shard-000001.jsonl")).unlink()
    (root / "labels.jsonl").unlink()
    run(registry, mapping(photos))
    assert (root / "labels.jsonl").read_bytes() == before


@pytest.mark.parametrize("run_section", [{"executor": "processes", "workers_per_device": 2}, {"batch_size": 3}])
def test_workers_change_no_byte(registry: Registry, photos: Path, run_section: dict[str, Any]) -> None:
    run(registry, mapping(photos))
    expected = (photos.parent / "run" / "labels.jsonl").read_bytes()
    spec = mapping(photos, results_dir=str(photos.parent / "other"))
    spec["run"] = {**spec["run"], **run_section}
    run(registry, spec)
    found = (photos.parent / "other" / "labels.jsonl").read_bytes()
    strip = lambda text: [dict(json.loads(line), plan="") for line in text.splitlines()]  # noqa: E731
    assert strip(found) == strip(expected)


def test_another_plan_is_refused_by_name_and_fresh_starts_over(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos))
    changed = mapping(photos)
    changed["data"]["classes"] = ["red"]
    (photos.parent / "run" / "mine.txt").write_text("keep me")
    with pytest.raises(BusyError, match="another plan: classes: now without blue"):
        run(registry, changed)
    summary = run(registry, changed, mode="fresh")
    assert dict(summary.found) == {("red", 0): 5}
    assert (photos.parent / "run" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("name", ["coco/mine.json", "labels.jsonl", "plan.json", "stages/mine.txt"])
@pytest.mark.parametrize("mode", ["resume", "fresh"])
def test_what_others_left_in_the_directory_is_never_replaced(
    registry: Registry, photos: Path, name: str, mode: str
) -> None:
    mine = photos.parent / "run" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"mine": true}')
    with pytest.raises(BusyError, match="which no run of autolabel has written"):
        run(registry, mapping(photos), mode=mode)
    assert mine.read_text() == '{"mine": true}'


def test_extend_labels_only_what_was_added(registry: Registry, photos: Path) -> None:
    from autolabel_colors import Rectangle, save

    run(registry, mapping(photos))
    root = photos.parent / "run"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (root / "stages").rglob("*.jsonl")}
    old = (root / "labels.jsonl").read_text().splitlines()
    save(photos / "!first.png", [Rectangle(1, 1, 9, 9, "green", 0.9)])
    save(photos / "zzz.png", [Rectangle(1, 1, 9, 9, "green", 0.9)])
    with pytest.raises(BusyError, match=r"2 added \(!first\.png, zzz\.png\)\n.*--extend"):
        run(registry, mapping(photos))
    summary = run(registry, mapping(photos), mode="extend")
    assert summary.rows == 8
    assert summary.found["green", 0] == 2
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    lines = (root / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in (lines[0], lines[-1])] == ["!first.png", "zzz.png"]
    assert lines[1:-1] == old
    assert run(registry, mapping(photos)).rows == 8, "the extended run is resumed as it is"
    assert (root / "labels.jsonl").read_text().splitlines() == lines


class News(Watch):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows: list[str] = []

    def row(self, done: Any) -> None:
        self.rows.append(done.state)

    def noted(self, text: str) -> None:
        self.notes.append(text)


def labels_by_image(root: Path) -> dict[str, list[Any]]:
    lines = (root / "labels.jsonl").read_text().splitlines()
    return {row["image"]: row["instances"] for row in map(json.loads, lines)}


def test_extend_brings_a_run_in_step_with_its_folder(registry: Registry, photos: Path) -> None:
    from autolabel_colors import Rectangle, save

    run(registry, mapping(photos))
    root = photos.parent / "run"
    before = labels_by_image(root)
    assert len(list((root / "stages").rglob("*.jsonl"))) == 3
    (photos / "0.png").unlink()
    (photos / "2.png").rename(photos / "more" / "two.png")
    save(photos / "more" / "1.png", [Rectangle(1, 1, 9, 9, "green", 0.9)])
    save(photos / "new.png", [Rectangle(2, 2, 9, 9, "green", 0.9)])
    told = "1 added (new.png), 1 removed (0.png), 1 renamed (2.png -> more/two.png), 1 changed (more/1.png)"
    with pytest.raises(BusyError) as caught:
        run(registry, mapping(photos))
    assert told in str(caught.value) and "--extend" in caught.value.hint
    assert labels_by_image(root) == before
    news = News()
    summary = run(registry, mapping(photos), mode="extend", watch=news)
    after = labels_by_image(root)
    assert news.notes == [f"updated for changed images: {told}"]
    assert len(news.rows) == 2, "only what is new or changed is labelled"
    assert summary.rows == 6 and summary.found["green", 0] == 2
    assert after["more/two.png"] == before["2.png"] and "0.png" not in after
    assert {name: after[name] for name in ("4.png", "more/3.png", "more/5.png")} == {
        name: before[name] for name in ("4.png", "more/3.png", "more/5.png")
    }
    listed = json.loads((root / "coco" / "annotations.json").read_text())["images"]
    assert sorted(one["file_name"] for one in listed) == sorted(after)
    news = News()
    run(registry, mapping(photos), watch=news)
    assert not news.rows and not news.notes and labels_by_image(root) == after, "it is resumed as it is"
    run(registry, mapping(photos), mode="fresh")
    assert labels_by_image(root) == after, "as if it had been labelled anew"


def test_decisions_about_a_renamed_photo_hold_under_its_new_name(registry: Registry, photos: Path) -> None:
    from autolabel.results.decision import Decision, Review
    from autolabel.results.journal import Journal
    from autolabel.results.store import RunStore

    run(registry, mapping(photos))
    root = photos.parent / "run"
    box = labels_by_image(root)["2.png"][0]
    (photos / "0.png").rename(photos / "spare.png")
    (photos / "2.png").rename(photos / "0.png")
    no = Decision(image="2.png", bbox=tuple(box["bbox"]), phrase=box["phrase"], verdict="reject")
    keep = Decision(image="0.png", verdict="checked")
    Journal(RunStore(root)).append(Review(version=2, plan="x", id="1", decisions=(no, keep)))
    run(registry, mapping(photos), mode="extend")
    standing = [(one.image, one.verdict) for one in Journal(RunStore(root)).decisions().decisions]
    assert sorted(standing) == [("0.png", "reject"), ("spare.png", "checked")]


def test_a_replaced_photo_of_equal_length_and_size_is_noticed(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos))
    image = photos / "0.png"
    data = bytearray(image.read_bytes())
    other = photos.parent / "other.bmp"
    Image.open(image).save(other)
    (photos / "b.bmp").write_bytes(other.read_bytes())
    run(registry, mapping(photos), mode="extend")
    data = bytearray(other.read_bytes())
    data[-3:] = bytes(255 - value for value in data[-3:])
    (photos / "b.bmp").write_bytes(data)
    with pytest.raises(BusyError, match=r"1 changed \(b\.bmp\)"):
        run(registry, mapping(photos))


@pytest.mark.parametrize("point", ["shard.written", "shard.renamed", "inputs.renamed", "plan.renamed"])
def test_an_extension_that_is_cut_short_goes_on(
    registry: Registry, photos: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    from autolabel.results import store

    run(registry, mapping(photos))
    root = photos.parent / "run"
    (photos / "0.png").unlink()
    (photos / "2.png").rename(photos / "two.png")
    want = {name: value for name, value in labels_by_image(root).items() if name not in ("0.png", "2.png")}
    want["two.png"] = labels_by_image(root)["2.png"]

    def stop(name: str) -> None:
        if name == point:
            raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(store, "reach", stop)
        with pytest.raises(KeyboardInterrupt):
            run(registry, mapping(photos), mode="extend")
    run(registry, mapping(photos), mode="extend")
    assert labels_by_image(root) == want


def test_an_added_export_labels_nothing_again(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos))
    shard = next((photos.parent / "run" / "stages").rglob("*.jsonl"))
    before = shard.stat().st_mtime_ns
    run(registry, mapping(photos, export=[{"type": "coco"}, {"type": "csv"}]))
    assert shard.stat().st_mtime_ns == before
    assert any((photos.parent / "run" / "csv").iterdir())


def test_one_bad_image_is_recorded_and_stops_nothing(registry: Registry, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"not an image")
    good = (photos / "0.png").read_bytes()
    (photos / "cut.png").write_bytes(good[: len(good) // 2])
    summary = run(registry, mapping(photos, run={"max_failures": 2, "shard_size": 2}))
    assert summary.states["failed"] == 2
    assert dict(summary.reasons) == {"unsupported_format": 1, "corrupt_image": 1}
    assert not summary.too_many_failures
    failed = [labels for labels in read_labels(photos.parent / "run") if labels.reason]
    assert [labels.image.id for labels in failed] == ["broken.jpg", "cut.png"]
    assert all(labels.reason and labels.image.id in labels.reason.message for labels in failed)


def test_filter_drops_small_boxes_from_exports_only(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos, output={"filter": {"min_size": 19}}, export=[{"type": "coco"}]))
    coco = json.loads((photos.parent / "run" / "coco" / "annotations.json").read_text())
    assert {a["category_id"] for a in coco["annotations"]} == {2}
    assert sum(len(labels.instances) for labels in read_labels(photos.parent / "run")) == 10


def test_splits_part_the_images(registry: Registry, photos: Path) -> None:
    run(registry, mapping(photos, output={"split": {"train": 0.5, "val": 0.5, "seed": 1}}, export=[{"type": "coco"}]))
    parts = [
        json.loads((photos.parent / "run" / "coco" / s / "annotations.json").read_text()) for s in ("train", "val")
    ]
    names = [{image["file_name"] for image in part["images"]} for part in parts]
    assert len(names[0] | names[1]) == 6
    assert not names[0] & names[1]


def test_captions_ask_each_image_its_own_phrases(registry: Registry, photos: Path, tmp_path: Path) -> None:
    chunks = [
        {"file_name": "0.png", "caption": "a red thing", "noun_chunks": ["red"]},
        {"file_name": "0.png", "caption": "a blue thing", "noun_chunks": ["blue thing"]},
        {"file_name": "1.png", "caption": "both", "noun_chunks": ["red", "blue"]},
        {"file_name": "../0.png", "noun_chunks": ["red"]},
    ]
    path = tmp_path / "chunks.jsonl"
    path.write_text("\n".join(map(json.dumps, chunks)))
    summary = run(registry, mapping(photos, data={"images": [str(photos)], "captions": str(path)}))
    rows = list(read_labels(photos.parent / "run"))
    assert [(r.image.id, r.caption_index, len(r.instances)) for r in rows] == [
        ("../0.png", 0, 0),
        ("0.png", 0, 1),
        ("0.png", 1, 1),
        ("more/1.png", 0, 2),
    ]
    assert summary.reasons == {"missing": 1}


def test_boxes_land_upright_for_every_orientation(registry: Registry, tmp_path: Path) -> None:
    from autolabel_colors import Rectangle, canvas

    upright = canvas([Rectangle(5, 4, 25, 14, "red")], size=(40, 60))
    folder = tmp_path / "photos"
    folder.mkdir()
    undo = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }  # fmt: skip
    for orientation, stored in undo.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(stored(upright))).save(folder / f"{orientation}.png", exif=exif)
    run(registry, mapping(folder))
    for labels in read_labels(tmp_path / "run"):
        assert labels.image.size == (40, 60), labels.image.id
        assert labels.instances.boxes.tolist() == [[5, 4, 25, 14]], labels.image.id


def test_a_plan_that_has_labelled_nothing_gives_way(registry: Registry, photos: Path) -> None:
    spec = mapping(photos)
    first = spec_from_mapping(spec, root=Path.cwd(), registry=registry)
    write_plan(compile_plan(first, registry=registry))
    summary = run(registry, mapping(photos, data={"images": [str(photos)], "classes": ["red"]}))
    assert summary.states["labelled"] == 5
    with pytest.raises(BusyError, match="holds the results of another plan"):
        run(registry, spec)


def test_an_image_that_does_not_fit_beside_others_is_tried_again_alone(
    registry: Registry, draw_photos: Callable[[Path, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autolabel.images import read_pixels

    (tmp_path / "photos").mkdir()
    photos, tries, lock = draw_photos(tmp_path / "photos", 6), Counter[str](), Lock()

    def starved(path: str, **options: Any) -> Any:
        name = Path(path).name
        with lock:
            tries[name] += 1
            if name == "05.png" or (tries[name] == 1 and name in ("01.png", "03.png")):
                raise MemoryError
        return read_pixels(path, **options)

    monkeypatch.setattr("autolabel.run.stage.read_pixels", starved)
    stages = [{"labeler": {"type": "colors"}}]
    summary = run(registry, mapping(photos, stages=stages, run={"executor": "inline"}, devices="cpu"))
    assert dict(summary.states) == {"labelled": 5, "failed": 1}
    assert dict(summary.reasons) == {"out_of_memory": 1}
    assert tries == {"00.png": 1, "01.png": 2, "02.png": 1, "03.png": 2, "04.png": 1, "05.png": 2}


def test_masks_without_a_pixel_are_left_out_with_a_note() -> None:
    image = Photo(id="a.png", path="a.png", size=(8, 8))
    inside, outside = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    inside[2:4, 2:4] = True
    masks = [Rle.encode(inside), Rle.encode(outside), None]
    found = Instances.build([[0, 0, 5, 5]] * 3, scores=[0.9] * 3, labels=[0] * 3, masks=masks)
    row = Labels(image=image, prompt=Prompt(("red",)), instances=Instances.empty())
    done = concluded(row, found)
    assert [mask is None for mask in done.instances.masks or ()] == [False, True, True]
    assert done.notes == ("1 mask without a pixel left out, the box kept",)
