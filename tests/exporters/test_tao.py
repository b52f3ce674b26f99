"""TAO's files: where TAO leaves them, and with its fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from autolabel.errors import BusyError
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.export import export_run
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from autolabel_exporters.tao import Tao
from tests.specs import make_spec

Draw = Callable[[Path, int], Path]


def run(folder: Path, registry: Registry, export: list[dict[str, Any]], **changes: Any) -> Path:
    """Run the free example labeler on the photos of a folder."""
    spec = make_spec(folder / "photos", folder / "run", classes=["red", "green"], export=export) | changes
    generate(
        compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry), registry=registry
    )
    return folder / "run"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_files_lie_in_the_results_directory_with_exactly_taos_fields(
    registry: Registry, draw_photos: Draw, tmp_path: Path
) -> None:
    draw_photos(tmp_path / "photos", 3)
    results = run(tmp_path, registry, [{"type": "tao"}, {"type": "odvg"}], visualize=True)
    found = lines(results / "final_annotation.jsonl")
    assert [line["file_name"] for line in found] == ["00.png", "01.png", "02.png"]
    assert {tuple(line) for line in found} == {("file_name", "height", "width", "detection")}
    boxes = [box for line in found for box in line["detection"]["instances"]]
    assert {tuple(box) for box in boxes} == {("bbox", "label", "category")}
    theirs = [box for line in lines(results / "odvg" / "annotations.jsonl") for box in line["detection"]["instances"]]
    assert [box["bbox"] for box in boxes] == [box["bbox"] for box in theirs] != []
    assert json.loads((results / "labelmap.json").read_text()) == {"0": "red", "1": "green"}
    assert len(list((results / "images_annotated").glob("[0-9]*"))) == 3


def test_mals_file_lies_at_its_path(registry: Registry, draw_photos: Draw, tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2)
    results = run(tmp_path, registry, [{"type": "tao", "label_dump_path": "masks/mal.json"}])
    assert len(COCO(results / "masks" / "mal.json").getImgIds()) == 2
    assert not (results / "final_annotation.jsonl").exists()


def test_a_second_export_replaces_what_the_first_placed(registry: Registry, draw_photos: Draw, tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2)
    results = run(tmp_path, registry, [{"type": "tao"}])
    (results / "final_annotation.jsonl").write_text("old")
    export_run(results, "tao", [], registry=registry)
    assert len(lines(results / "final_annotation.jsonl")) == 2


def test_a_file_of_somebody_else_is_kept(registry: Registry, draw_photos: Draw, tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 2)
    results = run(tmp_path, registry, [{"type": "coco"}])
    (results / "labelmap.json").write_text("mine")
    with pytest.raises(BusyError, match=r"holds labelmap\.json, which no export of this run has written"):
        export_run(results, "tao", [], registry=registry)
    assert (results / "labelmap.json").read_text() == "mine"
    assert not (results / "final_annotation.jsonl").exists()


@pytest.mark.parametrize("name", ["plan.json", "labels.jsonl", "stages/x.json", ".lock", "../x.json"])
def test_names_of_our_own_files_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="label_dump_path"):
        Tao.Params(label_dump_path=name)


def test_parts_of_a_split_have_folders_of_their_own(registry: Registry, draw_photos: Draw, tmp_path: Path) -> None:
    draw_photos(tmp_path / "photos", 6)
    results = run(tmp_path, registry, [{"type": "tao"}], output={"split": {"train": 0.5, "val": 0.5}})
    counts = [len(lines(results / "tao" / part / "final_annotation.jsonl")) for part in ("train", "val")]
    assert sum(counts) == 6
    assert not (results / "final_annotation.jsonl").exists()
