"""A file of boxes with every oddity, through a segmenter, exporters and the report: each fails itself alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.run.generate import generate
from autolabel.spec.load import spec_from_mapping
from tests.specs import make_spec

ODD: list[dict[str, Any] | None] = [
    {"bbox": [0, 0, 0.001, 0.001]}, {"bbox": [63.9996, 47, 5, 5]}, {"bbox": [-1e300, -1e300, 2e300, 2e300]},
    {"bbox": [1e300, 0, 1, 1]}, {"bbox": [0, 0, 1e-320, 5]}, {"bbox": [10, 10, 1e9, 1e9]},
    {"bbox": [1, 2, 3, "4"]}, None,
    {"bbox": [1, 1, 9, 9], "iscrowd": 1, "segmentation": {"size": [1, 1], "counts": "zzz~~"}},
    {"bbox": [1, 1, 9, 9], "iscrowd": True, "segmentation": "x"},
    {"bbox": [1, 1, 9, 9], "segmentation": {"counts": [2**70]}},
    {"bbox": [1, 1, 9, 9], "attributes": {"a": float("nan"), "b": [2**90, "\ud800"]}},
    {"bbox": [1, 1, 9, 9], "id": "x"}, {"bbox": [1, 1, 9, 9], "score": 1e300}, {"bbox": [1, 1, 9, 9], "image_id": 77},
    {"bbox": [2, 2, 20, 20], "category_id": "7"},
]  # fmt: skip
LEFT = 9


def test_one_bad_annotation_fails_itself_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (64, 48), "red").save(tmp_path / "photos" / "a.jpg")
    Image.new("L", (1, 1)).save(tmp_path / "photos" / "one.png")
    annotations = [one and {"id": number, "image_id": 1, "category_id": 7, **one} for number, one in enumerate(ODD, 1)]
    document = {
        "info": [1, float("nan")],
        "images": [
            {"id": 1, "file_name": "/data/a.jpg", "width": "64", "height": 48.0},
            {"id": 2, "file_name": "ONE.PNG", "width": -1},
            {"id": 3, "file_name": "../../etc/passwd"},
            {"file_name": "no id"},
        ],
        "categories": [{"id": 7, "name": "cell", "supercategory": float("nan")}, {"id": "8", "name": "cell"}],
        "annotations": [*annotations, {"id": 99, "image_id": 2, "category_id": 8.0, "bbox": [0, 0, 0.5, 0.5]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    spec = make_spec(
        tmp_path / "photos",
        tmp_path / "run",
        data={"boxes": str(tmp_path / "boxes.json")},
        stages=[{"labeler": {"type": "mal", "checkpoint": "tiny-mal"}}],
        run={"threads": 1, "max_failures": 1},
        export=[{"type": "coco"}, {"type": "yolo"}, {"type": "voc"}, {"type": "label_studio"}, {"type": "labelme"}],
    )
    compiled = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
    summary = generate(compiled, registry=registry)
    assert dict(summary.states) == {"labelled": 2, "failed": 1} and dict(summary.reasons) == {"missing": 1}
    rows = {row.image.id: row for row in read_labels(tmp_path / "run")}
    assert len(rows["a.jpg"].instances) == LEFT and len(rows["one.png"].instances) == 1
    for row in rows.values():
        height, width = row.image.size
        assert (row.instances.boxes >= 0).all() and (row.instances.boxes <= [width, height, width, height]).all()
    coco = json.loads((tmp_path / "run" / "coco" / "annotations.json").read_text())
    assert [one["id"] for one in coco["categories"]] == [7, 8] and coco["info"] == [1, None]
    assert {one["category_id"] for one in coco["annotations"]} == {7, 8}
    told = " ".join(compiled.plan.notices)
    assert "entries of" in told and "are left out" in told
