"""ODVG lines, read by the rules of the trainers that take them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autolabel_exporters.odvg import Odvg, places_of


def lines(files: dict[str, Any], name: str = "annotations.jsonl") -> list[Any]:
    return [json.loads(line) for line in files[name].read_text("utf-8").splitlines()]


def test_the_detection_form_carries_class_index_and_score(row: Any, export: Any) -> None:
    rows = [row("in/é.jpg", [[1, 2, 11, 22], [30, 5, 50, 25.5]], labels=[0, 1]), row("none.jpg")]
    files = export(Odvg, rows, classes=["dog", "bird", "cat"])
    assert lines(files) == [
        {
            "file_name": "in/é.jpg",
            "filename": "in/é.jpg",
            "height": 60,
            "width": 80,
            "detection": {
                "instances": [
                    {"bbox": [1.0, 2.0, 11.0, 22.0], "category": "cat", "label": 2, "score": 0.9},
                    {"bbox": [30.0, 5.0, 50.0, 25.5], "category": "dog", "label": 0, "score": 0.8},
                ]
            },
        },
        {
            "file_name": "none.jpg",
            "filename": "none.jpg",
            "height": 60,
            "width": 80,
            "detection": {"instances": []},
        },
    ]
    assert json.loads(files["labelmap.json"].read_text()) == {"0": "dog", "1": "bird", "2": "cat"}
    assert sorted(files) == ["annotations.jsonl", "labelmap.json"]


def test_every_caption_keeps_its_own_line(row: Any, export: Any) -> None:
    rows = [
        row("a.jpg", [[1, 1, 5, 5]], phrases=["a cat"], caption="a cat sits"),
        row("a.jpg", [[2, 2, 6, 6]], phrases=["the dog"], caption="the dog runs", caption_index=1),
    ]
    made = lines(export(Odvg, rows, classes=["a cat", "the dog"]))
    assert [line["grounding"]["caption"] for line in made] == ["a cat sits", "the dog runs"]
    assert made[1]["grounding"]["regions"] == [
        {"bbox": [2.0, 2.0, 6.0, 6.0], "phrase": "the dog", "tokens_positive": [[0, 7]], "score": 0.9}
    ]


@pytest.mark.parametrize(
    ("phrase", "caption", "places"),
    [
        ("cat", "A cat beside a Cat, no cattle", [[2, 5], [15, 18]]),
        ("c++ (book)", "one c++ (book).", [[4, 14]]),
        ("猫", "a 猫 sits", [[2, 3]]),
        ("dog", "no such thing", []),
        ("", "a", []),
    ],
)
def test_phrases_have_their_places_in_the_caption(phrase: str, caption: str, places: list[list[int]]) -> None:
    assert places_of(phrase, caption) == places


def test_captions_without_regions_stand_aside_because_trainers_fail_on_them(row: Any, export: Any) -> None:
    rows = [row("a.jpg", [[1, 1, 5, 5]], caption="a cat"), row("b.jpg", caption="fog"), row("c.jpg", failed=True)]
    files = export(Odvg, rows)
    for line in lines(files):
        boxes, phrases = zip(*[(r["bbox"], r["phrase"]) for r in line["grounding"]["regions"]], strict=True)
        assert len(boxes) == len(phrases) == 1
    assert [line["file_name"] for line in lines(files, "empty.jsonl")] == ["b.jpg"]


def test_a_name_is_one_line_whatever_it_holds(row: Any, export: Any) -> None:
    name = 'new\nline "quoted"\u2028 \t.jpg'
    files = export(Odvg, [row(name, [[1, 1, 5, 5]], phrases=["a\nb"])], classes=["a\nb"])
    raw = files["annotations.jsonl"].read_bytes()
    assert raw.count(b"\n") == 1
    assert json.loads(raw)["file_name"] == name


def test_equal_labels_give_equal_bytes(row: Any, export: Any) -> None:
    rows = [row("a.jpg", [[1, 1, 5, 5]]), row("b.jpg")]
    first, second = export(Odvg, rows), export(Odvg, rows)
    assert [path.read_bytes() for path in first.values()] == [path.read_bytes() for path in second.values()]
