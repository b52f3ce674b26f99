"""The labeler `refer` before a scripted server: an expression for each box, and answers that lack one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel import compile_plan, generate, load_spec
from autolabel.registry import Registry
from autolabel.testing import check_referrer
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, words_of
from autolabel_vlm.coordinates import restored, written
from autolabel_vlm.refer import VlmReferrer, expressions_in

pytest.importorskip("httpx")
ONE, TWO = {"id": 1, "expression": "the left cat"}, {"id": 2, "expression": "the right cat"}


def spec(root: Path, url: str, more: str = "", verify: bool = False) -> Path:
    """Write a spec for one photo with two given boxes."""
    (root / "photos").mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(root / "photos" / "0.png")
    (root / "labels").mkdir(exist_ok=True)
    lines = [f"cat 0 0 0 {box} 0 0 0 0 0 0 0\n" for box in ("0 0 30 40", "30 0 60 40")]
    (root / "labels" / "0.txt").write_text("".join(lines))
    check = f"\n  - labeler: {{type: verify, endpoint: '{url}', model: m}}" if verify else ""
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./photos], boxes: ./labels}}
stages:
  - labeler: {{type: refer, endpoint: '{url}', model: m, retry_wait: 0, retries: 0{more}}}{check}
export: []
devices: cpu
results_dir: out
""")
    return path


def rows(path: Path, registry: Registry, mode: str = "resume") -> list[dict[str, Any]]:
    """Run a spec and return its rows."""
    generate(compile_plan(load_spec(path, registry=registry), registry=registry), registry=registry, mode=mode)
    return [json.loads(line) for line in (path.parent / "out" / "labels.jsonl").read_text().splitlines()]


def expressions(row: dict[str, Any]) -> list[str | None]:
    """Return the expression of each box."""
    return [one.get("expression") for one in row["instances"]]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([ONE, TWO]),
        json.dumps([TWO, ONE]),
        f"```json\n{json.dumps([ONE, TWO])}\n```",
        f"Here they are: {json.dumps([ONE, TWO])} I hope this helps {{}}",
        str([ONE, TWO]),
        f"<think>{{'id': 1}}</think>{json.dumps(ONE)}\n{json.dumps(TWO)}",
        json.dumps({"objects": [ONE, TWO]}),
        json.dumps([{"number": "1", "description": "the left\n cat"}, {"id": "2", "description": "the right cat"}]),
        json.dumps([ONE, TWO, {"id": 1, "expression": "another"}, {"id": 3, "expression": "no such box"}]),
    ],
)
def test_expressions_are_read_however_they_come(tmp_path: Path, registry: Registry, text: str) -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=text)) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
        assert len(server.requests) == 1
    assert expressions(row) == ["the left cat", "the right cat"]
    assert [one["phrase"] for one in row["instances"]] == ["cat", "cat"]


def test_what_an_answer_leaves_out_is_asked_for_once_more(tmp_path: Path, registry: Registry) -> None:
    texts = [json.dumps([TWO]), json.dumps([{"id": 1, "expression": "the other cat"}])]
    with ScriptedEndpoint(lambda request, before: Scripted(text=texts[before])) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
        assert '1. "cat" [0, 0, 500, 1000].' in words_of(server.requests[1])
        assert "2." not in words_of(server.requests[1])
    assert expressions(row) == ["the other cat", "the right cat"]
    assert row.get("notes", []) == []


def test_boxes_that_get_no_expression_are_kept_and_counted(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps([TWO] if before == 0 else []))) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
        assert len(server.requests) == 2
    assert expressions(row) == [None, "the right cat"]
    assert row["notes"] == ["refer: no expression for 1 of 2 boxes"]


def test_answer_that_cannot_be_read_is_shown_to_the_model_once(tmp_path: Path, registry: Registry) -> None:
    texts = ["Two cats.", json.dumps([ONE, TWO])]
    with ScriptedEndpoint(lambda request, before: Scripted(text=texts[before])) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
        assert [message["role"] for message in server.requests[1]["messages"]] == ["user", "assistant", "user"]
        assert server.requests[1]["messages"][1]["content"] == "Two cats."
    assert expressions(row) == ["the left cat", "the right cat"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Scripted(refusal="I cannot help"), "refer: no expressions: the model refuses: I cannot help"),
        (Scripted(finish="content_filter"), "refer: no expressions: the model refuses: its answer was withheld"),
        (Scripted(text="no"), "refer: no expression for 2 of 2 boxes"),
    ],
)
def test_image_without_an_answer_keeps_its_boxes(
    tmp_path: Path, registry: Registry, answer: Scripted, said: str
) -> None:
    with ScriptedEndpoint(lambda request, before: answer) as server:
        [row] = rows(spec(tmp_path, server.url), registry)
    assert expressions(row) == [None, None] and row["state"] == "labelled"
    assert row["notes"] == [said]


def test_many_boxes_are_dealt_over_questions(tmp_path: Path, registry: Registry) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        side = "left" if "[0, 0, 500, 1000]" in words_of(request) else "right"
        return Scripted(text=json.dumps([{"id": 1, "expression": f"the {side} cat"}]))

    with ScriptedEndpoint(script) as server:
        path = spec(tmp_path, server.url, ", boxes_per_request: 1")
        plan = compile_plan(load_spec(path, registry=registry), registry=registry).plan
        assert plan.manifest.requests[0] is not None
        assert (plan.manifest.requests[0].requests, plan.manifest.requests[0].images) == (2, 2)
        [row] = rows(path, registry)
        assert len(server.requests) == 2
    assert expressions(row) == ["the left cat", "the right cat"]


def test_image_that_cannot_be_shown_keeps_its_boxes_and_stops_no_plan(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps([ONE, TWO]))) as server:
        path = spec(tmp_path, server.url, ", resize: {type: multiple, of: 28}")
        Image.new("RGB", (1000, 3)).save(tmp_path / "photos" / "1.png")
        (tmp_path / "labels" / "1.txt").write_text("cat 0 0 0 0 0 900 3 0 0 0 0 0 0 0\n")
        good, narrow = rows(path, registry)
    assert expressions(good) == ["the left cat", "the right cat"]
    assert expressions(narrow) == [None] and narrow["state"] == "labelled"
    assert narrow["notes"] == [
        "refer: no expressions: 1000x3 is too narrow for resize: multiple (at most 200:1)",
    ]


def test_verifier_is_asked_about_the_expression(tmp_path: Path, registry: Registry) -> None:
    def script(request: dict[str, Any], before: int) -> Scripted:
        if request["max_tokens"] > 1:
            return Scripted(text=json.dumps([ONE, TWO]))
        return Scripted(text="yes" if "the left cat" in words_of(request) else "no")

    with ScriptedEndpoint(script) as server:
        [row] = rows(spec(tmp_path, server.url, verify=True), registry)
    assert [one["verdict"] for one in row["instances"]] == [1.0, 0.0]


def test_expression_is_shown_wherever_people_look_at_a_box(tmp_path: Path, registry: Registry) -> None:
    from autolabel.api import explain, report
    from autolabel.results.store import finished
    from autolabel.review.session import ReviewSession

    told = [{**ONE, "expression": "the <b>left</b> cat"}]
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps(told if before == 0 else []))) as server:
        rows(spec(tmp_path, server.url), registry)
    run = tmp_path / "out"
    session = ReviewSession(*finished(run))
    session.index.build()
    assert [box["expression"] for box in session.row_json(0)["boxes"]] == ["the <b>left</b> cat", None]
    session.index.close()
    page = Path(str(report(str(run)))).read_text()
    assert "<b>left" not in page and "left" in page
    [explanation] = explain(str(run), "0.png", registry=registry)
    assert [box.expression for box in explanation.boxes] == ["the <b>left</b> cat", None]


def test_nothing_is_asked_twice(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps([TWO] if before == 0 else []))) as server:
        path = spec(tmp_path, server.url)
        found = rows(path, registry)
        assert rows(path, registry, mode="fresh") == found
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("told", "said", "right"),
    [
        ([(2, "a blue square"), (1, "the red one")], "for a red and a blue square: the red one; a blue square", True),
        ([(1, "a blue square"), (2, "the red one")], "for a red and a blue square: a blue square; the red one", None),
        ([(1, "a red square")], "1 of 2 can be read", False),
        ([], "0 of 2 can be read", False),
    ],
)
def test_doctor_tells_whether_expressions_fit(told: list[tuple[int, str]], said: str, right: bool | None) -> None:
    text = json.dumps([{"id": number, "expression": words} for number, words in told])
    with ScriptedEndpoint(lambda request, before: Scripted(text=text)) as server:
        referrer = VlmReferrer(VlmReferrer.Params(endpoint=server.url, model="m"))
        [found] = referrer.examine()
        assert '1. "square" [62, 125, 375, 542]; 2. "square" [625, 417, 938, 833].' in words_of(server.requests[0])
    assert (found.subject, found.said, found.right) == ("expressions", said, right)


def test_contract_of_referrers() -> None:
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps([ONE, TWO]))) as server:
        check_referrer(VlmReferrer, {"endpoint": server.url, "model": "m"})


@pytest.mark.parametrize(
    "text",
    ["", "{" * 100_000, "{}" * 100_000, '{"id": 1}', '{"id": true, "expression": "a"}', '{"id": 1, "expression": 3}',
     '{"id": 1.5, "expression": "a"}', '{"id": 1, "expression": " \\n"}', '{"id": NaN, "expression": "a"}'],
)  # fmt: skip
def test_what_is_no_expression_is_not_read(text: str) -> None:
    assert expressions_in(text) == {}


def test_expressions_are_one_short_line_of_plain_text() -> None:
    [told] = expressions_in(json.dumps({"id": 1, "expression": "a\n\x1b[31mred\x00 car" + "!" * 1000})).values()
    assert told.startswith("a [31mred car!!") and len(told) == 300


@pytest.mark.parametrize("coordinates", ["pixels", "unit_1000", "unit_999", "unit_1"])
@pytest.mark.parametrize("axes", ["xyxy", "yxyx"])
def test_boxes_are_told_in_the_coordinates_in_which_they_are_read(coordinates: Any, axes: Any) -> None:
    boxes = np.array([[0, 0, 64, 48], [16, 12, 32, 36]], np.float32)
    told = written(boxes, coordinates, axes, sent=(480, 640), size=(48, 64))
    back, inside = restored(np.array(told), coordinates, axes, sent=(480, 640), size=(48, 64))
    assert inside.all()
    assert np.abs(back - boxes).max() <= 0.05
