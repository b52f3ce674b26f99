"""llama.cpp's own server asked by the labeler, the verifier, the captioner, the referrer and the doctor."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from autolabel.errors import EndpointError
from autolabel.registry import Registry
from tests.vlm.commands import doctor, run
from tests.vlm.llama_model import END, token_of, write_model

pytest.importorskip("httpx")
pytest.importorskip("gguf")
SERVER = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server") or ""
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not SERVER, reason="llama.cpp's server is not installed (LLAMA_SERVER names it)"),
]
KEY = "sk-for-this-test-alone"
BOX, NUMBERS, LABEL = '[{"bbox_2d": [', "250, 500, 500, 1000", '], "label": "cat"}]'
OBJECT, EXPRESSION = '{"objects": ', '[{"id": 1, "expression": "a small cat"}]'
PIECES = (BOX, NUMBERS, LABEL, OBJECT, EXPRESSION, "yes", "no", "A small cat.")
_LISTENING = re.compile(r"listening on (http://[\d.]+:\d+)")


@contextmanager
def serving(folder: Path, after: Mapping[str, Mapping[str, float]], *options: str, eyes: bool = True) -> Iterator[str]:
    """Serve a model that follows ``after`` while the block lasts; yields the base URL."""
    model, encoder = write_model(folder, [token_of(piece) for piece in PIECES], after)
    words = [SERVER, "-m", str(model), *(["--mmproj", str(encoder)] if eyes else []), "--host", "127.0.0.1"]
    words += ["--port", "0", "--chat-template", "chatml", "-t", "1", "-np", "2", "-c", "8192", *options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            assert running.stdout is not None
            found = (match for line in running.stdout if (match := _LISTENING.search(line)))
            address = next(found, None)
            assert address is not None, "the server does not start"
            yield f"{address[1]}/v1"
        finally:
            running.kill()


FOUND = {
    "\n": {BOX: 9.0, OBJECT: 8.5, "yes": 8.0, "no": 6.0},
    OBJECT: {BOX: 9.0},
    BOX: {NUMBERS: 9.0},
    NUMBERS: {LABEL: 9.0},
    LABEL: {END: 40.0, "}": 30.0},
    "}": {END: 40.0},
}
"""A cat's box, in a list or, where only an object may come, in an object."""


def probability(logits: Mapping[str, float], token: str) -> float:
    """Return the probability of a token, where those that are not named have the logit 0."""
    total = sum(map(math.exp, logits.values())) + 256 + 2 + len(PIECES) - len(logits)
    return math.exp(logits[token]) / total


def write_spec(root: Path, stages: str, data: str = "classes: [cat, dog]") -> Path:
    """Write a spec for three photos."""
    (root / "images").mkdir(exist_ok=True)
    for index in range(3):
        Image.new("RGB", (60, 40), (40 * index, 0, 0)).save(root / "images" / f"{index}.png")
    path = root / "spec.yaml"
    path.write_text(
        f"version: 1\ndata: {{images: [./images], {data}}}\nstages: [{stages}]\ndevices: cpu\nexport: []\n"
        "results_dir: out\n"
    )
    return path


def vlm(url: str, more: str = "") -> str:
    """Return the labeler and the verifier of a server, as a spec writes them."""
    asked = f"endpoint: '{url}', model: any, retries: 0{more}"
    return f"{{labeler: {{type: vlm, {asked}, coordinates: unit_1000}}}}, {{labeler: {{type: verify, {asked}}}}}"


@pytest.mark.parametrize(("form", "image"), [("json_schema", "jpeg"), ("json_object", "jpeg"), ("none", "png")])
def test_boxes_scores_and_verdicts(tmp_path: Path, registry: Registry, form: str, image: str) -> None:
    with serving(tmp_path, FOUND) as url:
        stages = vlm(url, f", image_format: {image}").replace("coordinates:", f"response_format: {form}, coordinates:")
        rows = run(write_spec(tmp_path, stages), registry)
    [(phrase, bbox, score, verdict)] = {
        (one["phrase"], tuple(one["bbox"]), one["score"], one["verdict"]) for row in rows for one in row["instances"]
    }
    assert (phrase, bbox, len(rows)) == ("cat", (15.0, 20.0, 30.0, 40.0), 3)
    chances = probability(FOUND[BOX], NUMBERS), probability(FOUND[NUMBERS], LABEL)
    assert score == pytest.approx(math.sqrt(math.prod(chances)), abs=0.002)
    yes, no = (probability(FOUND["\n"], word) for word in ("yes", "no"))
    assert verdict == pytest.approx(yes / (yes + no), abs=0.002)
    assert all(row["notes"] == ["vlm: scores are token probabilities"] for row in rows)


def test_schema_is_held_against_the_model(tmp_path: Path, registry: Registry) -> None:
    """A model that only says `no` writes what the schema allows, as far as its tokens reach; without a schema, `no`."""
    for form, said in (("json_schema", 'the first: "['), ("none", 'the first: "no"')):
        (tmp_path / form).mkdir()
        with serving(tmp_path / form, {"\n": {"no": 9.0}, "no": {END: 40.0}}) as url:
            stages = vlm(url, ", max_tokens: 64").replace("coordinates:", f"response_format: {form}, coordinates:")
            rows = run(write_spec(tmp_path / form, stages), registry)
        assert all(said in row["reason"]["message"] for row in rows)


def test_doctor_reports_what_comes(tmp_path: Path) -> None:
    with serving(tmp_path, FOUND) as url:
        found = doctor(write_spec(tmp_path, vlm(url)))
    assert "6 of 6 can be read: 6 JSON of the form asked for" in found
    assert "right  scores: token probabilities come" in found and "right  chances: token probabilities come" in found
    assert "WRONG  boxes: 0 of 6 boxes land with coordinates: unit_1000" in found
    assert "640x480 pixels are 16 tokens" in found and "pixels_per_token: 19200" in found


def test_captions_come_from_the_server(tmp_path: Path, registry: Registry) -> None:
    after = {"\n": {"A small cat.": 9.0}, "A small cat.": {END: 40.0}}
    with serving(tmp_path, after) as url:
        stages = f"{{labeler: {{type: vlm, endpoint: '{url}', model: any, retries: 0, coordinates: unit_1000}}}}"
        rows = run(write_spec(tmp_path, stages, "captions: {labeler: vlm}"), registry)
    assert {row["caption"] for row in rows} == {"A small cat."}
    assert {tuple(row["phrases"]) for row in rows} == {("small cat",)}


def test_referring_expressions_come_from_the_server(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0.txt").write_text("cat 0 0 0 15 20 30 40 0 0 0 0 0 0 0\n")
    with serving(tmp_path, {"\n": {EXPRESSION: 9.0}, EXPRESSION: {END: 40.0}}) as url:
        stages = f"{{labeler: {{type: refer, endpoint: '{url}', model: any, retries: 0}}}}"
        [row] = run(write_spec(tmp_path, stages, "boxes: ./labels"), registry)
    assert [one["expression"] for one in row["instances"]] == ["a small cat"]


@pytest.mark.parametrize(
    ("key", "said"),
    [(None, "401: Invalid API Key"), ("sk-wrong-one", "401: Invalid API Key")],
)
def test_wrong_key_ends_the_run_and_is_not_told(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, key: str | None, said: str
) -> None:
    with serving(tmp_path, FOUND, "--api-key", KEY) as url:
        if key is not None:
            monkeypatch.setenv("LLAMA_TEST_KEY", key)
        more = "" if key is None else ", api_key_env: LLAMA_TEST_KEY"
        with pytest.raises(EndpointError, match=said) as raised:
            run(write_spec(tmp_path, vlm(url, more)), registry)
        assert "sk-wrong-one" not in f"{raised.value} {raised.value.hint}"
        monkeypatch.setenv("LLAMA_TEST_KEY", KEY)
        rows = run(write_spec(tmp_path, vlm(url, ", api_key_env: LLAMA_TEST_KEY")), registry)
    assert [len(row["instances"]) for row in rows] == [1, 1, 1]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert KEY.encode() not in kept


def test_model_without_eyes_is_named(tmp_path: Path, registry: Registry) -> None:
    with serving(tmp_path, FOUND, eyes=False) as url:
        with pytest.raises(EndpointError, match="image input is not supported") as raised:
            run(write_spec(tmp_path, vlm(url)), registry)
        assert "the model may not take images" in str(raised.value.hint)


def test_image_beyond_the_context_fails_and_says_so(tmp_path: Path, registry: Registry) -> None:
    with serving(tmp_path, FOUND, "-c", "512") as url:
        rows = run(write_spec(tmp_path, vlm(url)), registry)
    assert {row["reason"]["code"] for row in rows} == {"endpoint_refused"}
    assert all("exceeds the available context size" in row["reason"]["message"] for row in rows)
