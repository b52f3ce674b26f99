"""TAO's `image_grounding` documents: what they become, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from autolabel import compile_plan, generate
from autolabel.errors import SpecError
from autolabel.registry import Registry
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, words_of
from tests.vlm.tao_documents import asking, loaded, write_document

pytest.importorskip("httpx")
REST = """  workflow:
    steps: ["0", "1"]
    max_workers: 4
    force_reprocess: false
  data:
    input_jsonl: photos/captions.jsonl
    image_root: ""
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """The document as TAO publishes it, beside a photo with a caption."""
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "photos" / "a.png")
    line = {"image_path": "a.png", "caption": "A black cat beside a small dog.", "image_id": "7"}
    (tmp_path / "photos" / "captions.jsonl").write_text(json.dumps(line) + "\n")
    return write_document(tmp_path, "image_grounding", REST)


def test_published_document_becomes_a_labeler(document: Path, registry: Registry) -> None:
    spec = loaded(document, registry)
    labeler = spec.stages[0].labeler
    assert labeler is not None and labeler.name == "vlm"
    params = labeler.params.model_dump()
    wanted = {
        "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai",
        "model": "gemini-3.1-flash-lite-preview",
        "api_key_env": "GOOGLE_API_KEY",
        "temperature": 0.3,
        "max_tokens": 8192,
        "timeout": 120.0,
        "concurrency": 4,
        "coordinates": "pixels",
        "resize": {"type": "none"},
    }
    assert {name: params[name] for name in wanted} == wanted
    assert (spec.data.images, spec.devices) == ((str(document.parent / "photos"),), "cpu")
    assert any("media_resolution" in notice for notice in spec.notices)


def test_document_runs(document: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    answer = '[{"bbox_2d": [15, 20, 30, 40], "label": "black cat", "score": 0.75}]'
    with ScriptedEndpoint(lambda request, before: Scripted(text=answer)) as server:
        spec = loaded(document, registry, *asking("image_grounding", server.url))
        generate(compile_plan(spec, registry=registry), registry=registry)
        [request] = server.requests
        assert '"black cat", "small dog"' in words_of(request)
        assert (request["model"], request["temperature"], request["max_tokens"]) == ("m", 0.7, 4096)
        assert server.headers[0]["authorization"] == "Bearer sk-1"
    [row] = [json.loads(line) for line in (document.parent / "out" / "labels.jsonl").read_text().splitlines()]
    assert row["caption"] == "A black cat beside a small dog."
    assert [(one["phrase"], one["bbox"], one["score"]) for one in row["instances"]] == [
        ("black cat", [15.0, 20.0, 30.0, 40.0], 0.75)
    ]


@pytest.mark.parametrize("backend", ["gemini", "openai"])
def test_key_in_the_document_is_refused_and_not_repeated(document: Path, registry: Registry, backend: str) -> None:
    document.write_text(document.read_text().replace("    gemini:\n", "    gemini:\n", 1))
    with pytest.raises(SpecError) as raised:
        loaded(document, registry, f"image_grounding.vlm.{backend}.api_key=sk-very-secret")
    assert "holds a secret key, which does not belong in a spec" in str(raised.value)
    assert "sk-very-secret" not in str(raised.value)


def test_address_and_model_are_wanted_for_openai(document: Path, registry: Registry) -> None:
    with pytest.raises(SpecError) as raised:
        loaded(document, registry, "image_grounding.vlm.backend=openai")
    assert "image_grounding.vlm.openai.base_url: missing" in str(raised.value)
    assert "image_grounding.vlm.openai.model_name: missing" in str(raised.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("image_grounding.data.input_jsonl=???", "input_jsonl"),
        ("image_grounding.vlm.backend=claude", "backend"),
        ("image_grounding.workflow.max_workers=0", "max_workers"),
        ("image_grounding.workflow.workers=3", "workers"),
        ("autolabel_type=vllm_captioning", "vllm_captioning is not supported here"),
    ],
)
def test_wrong_documents_are_refused(document: Path, registry: Registry, override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        loaded(document, registry, override)
