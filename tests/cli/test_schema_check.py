"""`autolabel schema --check`: what is wrong in a document of any program, by its JSON pointer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autolabel.cli.schema_check import check_document
from autolabel.errors import DataError, SpecError

ROOT = Path(__file__).resolve().parents[2]
ROW = {
    "image": "a.jpg", "caption_index": 0, "width": 9, "height": 9, "state": "labelled", "reason": None,
    "phrases": ["a"], "caption": None, "plan": "x",
    "instances": [{"bbox": [0, 0, 1, 1], "phrase": "a", "label": 0, "score": 0.5, "round": 0}],
}  # fmt: skip


def test_a_spec_and_labels_that_are_right_pass(tmp_path: Path) -> None:
    assert check_document(ROOT / "specs" / "quickstart.yaml") == "spec"
    (tmp_path / "labels.jsonl").write_text(json.dumps(ROW) + "\n")
    assert check_document(tmp_path / "labels.jsonl") == "labels"


def test_a_fault_has_its_line_and_pointer(tmp_path: Path) -> None:
    wrong = json.loads(json.dumps(ROW))
    wrong["instances"][0]["score"] = "high"
    (tmp_path / "labels.jsonl").write_text(f"{json.dumps(ROW)}\n{json.dumps(wrong)}\n")
    with pytest.raises(DataError, match=r"labels\.jsonl:2:1: /instances/0/score: 'high' is not of type 'number'"):
        check_document(tmp_path / "labels.jsonl")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(DataError, match="'recipe' is a required property"):
        check_document(tmp_path / "plan.json")


def test_a_file_that_is_no_json_or_of_no_known_kind_is_told(tmp_path: Path) -> None:
    (tmp_path / "review.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        check_document(tmp_path / "review.json")
    with pytest.raises(SpecError, match="no schema has this file's name"):
        check_document(tmp_path / "review.txt")
