"""TAO's `image_referring_expression` documents: boxes from KITTI labels get expressions, which are then checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autolabel import compile_plan, generate
from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, words_of
from tests.vlm.tao_documents import asking, loaded, write_document

pytest.importorskip("httpx")
REST = """  workflow:
    steps: ["0", "1", "2", "3"]
    max_workers: 4
    force_reprocess: false
    output_format: "both"   # "jsonl", "legacy", or "both"

  data:
    image_dir: photos
    kitti_label_dir: labels
    input_annotations_jsonl: ""     # Optional: pre-seeded annotations.jsonl to resume from
"""
SECTION = "image_referring_expression"
CAR = "Car 0.00 0 0.00 6.00 8.00 30.00 32.00 0 0 0 0 0 0 0"
BUS = "Bus 0.00 0 0.00 36.00 0.00 60.00 20.00 0 0 0 0 0 0 0"
REGION = "DontCare -1 -1 -10 0 0 5 5 -1 -1 -1 -1000 -1000 -1000 -10"
ANSWER = [{"id": 2, "expression": "the bus at the right"}, {"id": 1, "expression": "a red car"}]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """The document as TAO publishes it, beside two photos with labels and one without an object."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "labels").mkdir()
    for index, lines in enumerate(([CAR, BUS, REGION], [CAR], [REGION])):
        Image.new("RGB", (60, 40), (90 * index, 0, 0)).save(tmp_path / "photos" / f"{index}.png")
        (tmp_path / "labels" / f"{index}.txt").write_text("\n".join(lines) + "\n")
    return write_document(tmp_path, SECTION, REST)


def run(
    path: Path, registry: Registry, server: ScriptedEndpoint, *overrides: str, mode: str = "resume"
) -> list[dict[str, Any]]:
    """Run a document before a server; return its rows."""
    spec = loaded(path, registry, *asking(SECTION, server.url), *overrides)
    generate(compile_plan(spec, registry=registry), registry=registry, mode=mode)
    return lines(path.parent / "out" / "labels.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(request: dict[str, Any], before: int) -> Scripted:
    """Write expressions where they are asked for; where they are checked, deny the bus."""
    if request["max_tokens"] == 1:
        return Scripted(text="no" if "bus" in words_of(request) else "yes")
    return Scripted(text=json.dumps(ANSWER if '"Bus"' in words_of(request) else ANSWER[1:]))


def boxes(row: dict[str, Any]) -> list[tuple[str, list[float], str | None, float | None]]:
    """Return what a row says of its boxes."""
    return [(one["phrase"], one["bbox"], one.get("expression"), one.get("verdict")) for one in row["instances"]]


def test_published_document_becomes_two_stages(document: Path, registry: Registry) -> None:
    spec = loaded(document, registry)
    refer, check = (stage.labeler for stage in spec.stages)
    assert refer is not None and check is not None and (refer.name, check.name) == ("refer", "verify")
    both = {
        "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai",
        "model": "gemini-3.1-flash-lite-preview",
        "api_key_env": "GOOGLE_API_KEY",
        "timeout": 120.0,
        "concurrency": 4,
        "resize": {"type": "none"},
    }
    params = refer.params.model_dump()
    wanted = {**both, "temperature": 0.3, "max_tokens": 8192, "coordinates": "unit_1000"}
    assert {name: params[name] for name in wanted} == wanted
    params = check.params.model_dump()
    assert {name: params[name] for name in both} == both
    assert (spec.data.images, spec.data.boxes) == ((str(document.parent / "photos"),), str(document.parent / "labels"))
    told = "\n".join(spec.notices)
    for name in ("media_resolution", "output_format", "force_reprocess", "workflow.steps 1", "workflow.steps 2"):
        assert f"{SECTION}.{name}" in told or name in told
    assert "captions of whole images are not written" in told and "groups of boxes are not written" in told


def test_document_runs(document: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with ScriptedEndpoint(answers) as server:
        found = run(document, registry, server)
        assert len(server.requests) == 2 + 3
        asked = next(words_of(one) for one in server.requests if '"Bus"' in words_of(one))
        assert '1. "Car" [100, 200, 500, 800]; 2. "Bus" [600, 0, 1000, 500].' in asked
        checks = sorted(words_of(one) for one in server.requests if one["max_tokens"] == 1)
        assert ['"the bus at the right"' in one for one in checks] == [False, False, True]
        assert {one["authorization"] for one in server.headers} == {"Bearer sk-1"}
        assert found == run(document, registry, server) and len(server.requests) == 5
    assert [boxes(row) for row in found] == [
        [
            ("Car", [6.0, 8.0, 30.0, 32.0], "a red car", 1.0),
            ("Bus", [36.0, 0.0, 60.0, 20.0], "the bus at the right", 0.0),
        ],
        [("Car", [6.0, 8.0, 30.0, 32.0], "a red car", 1.0)],
        [],
    ]
    assert [row["state"] for row in found] == ["labelled", "labelled", "empty"]
    assert all(row["notes"] == [] for row in found if "notes" in row)


def test_files_are_where_tao_leaves_them(document: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with ScriptedEndpoint(answers) as server:
        run(document, registry, server)
    out = document.parent / "out"
    car, bus = [6.0, 8.0, 30.0, 32.0], [36.0, 0.0, 60.0, 20.0]
    size = {"width": 60, "height": 40, "source": SECTION}
    first = {
        "image_id": "0",
        "image_path": "0.png",
        "regions": [
            {"bbox": car, "type": "Car", "description": "a red car"},
            {"bbox": bus, "type": "Bus", "description": "the bus at the right"},
        ],
        "expressions": [
            {
                "text": "a red car",
                "instances": [{"bbox": car, "bbox_score": 1.0, "bbox_id": "box_00000"}],
                "expression_id": "expr_00000",
                "verified": True,
            },
            {
                "text": "the bus at the right",
                "instances": [{"bbox": bus, "bbox_score": 1.0, "bbox_id": "box_00001"}],
                "expression_id": "expr_00001",
                "verified": False,
            },
        ],
    }
    found = lines(out / "annotations.jsonl")
    assert found[0] == {**first, **size}
    assert found[2] == {"image_id": "2", "image_path": "2.png", "regions": [], "expressions": [], **size}
    [regions, *_] = lines(out / "odvg" / "annotations.jsonl")
    assert [one["expression"] for one in regions["detection"]["instances"]] == ["a red car", "the bus at the right"]
    annotations = json.loads((out / "coco" / "annotations.json").read_text())["annotations"]
    assert [one["expression"] for one in annotations] == ["a red car", "the bus at the right", "a red car"]


def test_without_step_3_nothing_is_checked(document: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with ScriptedEndpoint(answers) as server:
        found = run(document, registry, server, f"{SECTION}.workflow.steps=[0]")
        assert len(server.requests) == 2
    assert boxes(found[1]) == [("Car", [6.0, 8.0, 30.0, 32.0], "a red car", None)]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (f"{SECTION}.data.image_dir=???", "image_dir"),
        (f"{SECTION}.data.kitti_label_dir=???", "kitti_label_dir"),
        (f"{SECTION}.data.kitti_label_dir=nowhere", "no such file"),
        (f"{SECTION}.workflow.output_format=text", "output_format"),
        (f"{SECTION}.workflow.steps=[1,2]", "step 0, which writes the expressions, is not among them"),
        (f"{SECTION}.workflow.steps=[0,4]", "found step '4'"),
        (f"{SECTION}.vlm.gemini.api_key=sk-secret", "holds a secret key"),
        (f"{SECTION}.vlm.backend=openai", "base_url: missing"),
    ],
)
def test_wrong_documents_are_refused(document: Path, registry: Registry, override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as raised:
        compile_plan(loaded(document, registry, override), registry=registry)
    assert "sk-secret" not in str(raised.value)
