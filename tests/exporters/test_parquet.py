"""Parquet files, read back by pyarrow."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from autolabel.errors import DataError, MachineError
from autolabel.testing.exporter import Rows
from autolabel_exporters import parquet
from autolabel_exporters.parquet import Parquet

BOXES = [[1, 2, 11, 22], [30.25, 5, 50, 25.125]]


@pytest.fixture
def arrow() -> Any:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    return pyarrow.parquet


def read(arrow: Any, files: dict[str, Path]) -> list[dict[str, Any]]:
    assert list(files) == ["labels.parquet"]
    rows: list[dict[str, Any]] = arrow.read_table(files["labels.parquet"]).to_pylist()
    return rows


def test_every_row_of_the_ledger_is_a_row(arrow: Any, row: Any, export: Any) -> None:
    rows = [
        row("a/é 猫.jpg", BOXES, labels=[0, 1], rounds=[0, 2], caption="a cat", caption_index=0),
        row("a/é 猫.jpg", caption="", caption_index=1),
        row("b.jpg", failed=True),
    ]
    first, second, third = read(arrow, export(Parquet, rows))
    assert (first["image"], first["caption"], first["width"], first["height"]) == ("a/é 猫.jpg", "a cat", 80, 60)
    assert [item["bbox"] for item in first["instances"]] == BOXES
    assert [(i["phrase"], i["score"], i["round"]) for i in first["instances"]] == [("cat", 0.9, 0), ("dog", 0.8, 2)]
    assert (second["caption_index"], second["state"], second["caption"], second["instances"]) == (1, "empty", "", [])
    assert (third["state"], third["reason"]) == ("failed", {"code": "corrupt_image", "message": "cut short"})
    assert third["instances"] == [] and third["caption"] is None and first["reason"] is None


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_masks_are_rles_that_pycocotools_decodes(arrow: Any, row: Any, export: Any, shapes: Any) -> None:
    rows = [row("a.jpg", [BOXES[0]] * 5, masks=[*shapes.values(), None])]
    *masked, bare = read(arrow, export(Parquet, rows))[0]["instances"]
    for item, mask in zip(masked, shapes.values(), strict=True):
        assert np.array_equal(coco.decode(item["segmentation"]) > 0, mask)
    assert bare["segmentation"] is None


def test_fields_of_input_annotations_and_classes_are_kept(arrow: Any, row: Any, export: Any) -> None:
    given = [{"id": 70, "attributes": {"occluded": True, "note": "é\n"}}, {}]
    files = export(Parquet, [row("a.jpg", BOXES, given=given, rounds=-1)], ["dog", "<cat>", "cat"])
    kept = [json.loads(item["given"]) for item in read(arrow, files)[0]["instances"]]
    assert kept == given
    metadata = arrow.read_schema(files["labels.parquet"]).metadata
    assert json.loads(metadata[b"autolabel.classes"]) == ["dog", "<cat>", "cat"]


def test_row_groups_hold_a_bounded_number_of_objects(
    arrow: Any, row: Any, export: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS", 3)
    monkeypatch.setattr(parquet, "OBJECTS", 5)
    counts = [0, 0, 0, 0, 2, 2, 2, 9, 1]
    rows = [row(f"{n}.jpg", [BOXES[0]] * count, scores=[0.5] * count) for n, count in enumerate(counts)]
    file = arrow.ParquetFile(export(Parquet, Rows(rows))["labels.parquet"])
    sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    assert sizes == [3, 3, 1, 1, 1]
    assert [len(r["instances"]) for r in file.read().to_pylist()] == counts


def test_labels_are_walked_once_and_never_gathered(arrow: Any, row: Any, export: Any) -> None:
    walks = 0

    class Once:
        def __iter__(self) -> Iterator[Any]:
            nonlocal walks
            walks += 1
            yield from (row(f"{n:05}.jpg", BOXES) for n in range(10))

    assert len(read(arrow, export(Parquet, Once()))) == 10
    assert walks == 1


def test_a_number_that_is_not_finite_is_refused(arrow: Any, row: Any, export: Any) -> None:
    with pytest.raises(DataError, match=r"a\.jpg"):
        export(Parquet, [row("a.jpg", [[0, 0, float("nan"), 5]])])
    with pytest.raises(DataError, match=r"annotation 1/depth: .* not a finite number"):
        export(Parquet, [row("a.jpg", [BOXES[0]], given=[{"id": 1, "depth": float("inf")}])])


def test_without_pyarrow_the_exporter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(parquet, "find_spec", lambda name: None if name == "pyarrow" else found(name))
    with pytest.raises(MachineError, match=r"needs pyarrow.*\n.*pip install 'autolabel-vision\[parquet\]'"):
        Parquet(Parquet.Params())
