"""Runs that ask an endpoint, killed and resumed: nothing is asked twice, and the bytes are those of a run in one go."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, words_of

pytest.importorskip("httpx")
COUNT = 6
ANSWER = json.dumps([{"bbox_2d": [250, 500, 500, 1000], "label": "cat", "score": 0.75}])


def write_spec(root: Path, url: str) -> Path:
    """Write a spec for six photos, two of a batch, three of a shard, each asked in two questions."""
    (root / "images").mkdir()
    for index in range(COUNT):
        Image.new("RGB", (60, 40), (40 * index, 0, 0)).save(root / "images" / f"{index}.png")
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./images], classes: [cat, dog]}}
stages:
  - labeler: {{type: vlm, endpoint: '{url}', model: m, coordinates: unit_1000, phrases_per_request: 1, concurrency: 1}}
  - labeler: {{type: verify, endpoint: '{url}', model: m, concurrency: 1}}
run: {{batch_size: 2, shard_size: 3, num_workers: 1}}
devices: cpu
export: []
results_dir: out
""")
    return path


def write_referring_spec(root: Path, url: str) -> Path:
    """Write a spec for six photos with a given box each: an expression is asked for, then verified."""
    path = write_spec(root, url)
    (root / "labels").mkdir()
    for index in range(COUNT):
        (root / "labels" / f"{index}.txt").write_text("cat 0 0 0 15 20 30 40 0 0 0 0 0 0 0\n")
    text = path.read_text().replace("classes: [cat, dog]", "boxes: ./labels")
    start, end = text.index("  - labeler: {type: vlm"), text.index("  - labeler: {type: verify")
    labeler = f"  - labeler: {{type: refer, endpoint: '{url}', model: m, concurrency: 1}}\n"
    path.write_text(text[:start] + labeler + text[end:])
    return path


def start(spec: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a run in a process of its own."""
    words = [sys.executable, "-m", "autolabel", "generate", str(spec), "--quiet"]
    return subprocess.Popen(words, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)


def answers(request: dict[str, Any], before: int) -> Scripted:
    """Say yes to a verifier, show a cat to a labeler, and describe the box of a referrer."""
    if request["max_tokens"] == 1:
        return Scripted(text="yes")
    refer = "referring expression" in words_of(request)
    return Scripted(text='[{"id": 1, "expression": "a cat"}]' if refer else ANSWER)


def in_one_go(root: Path, write: Callable[[Path, str], Path] = write_spec) -> tuple[int, list[dict[str, Any]]]:
    """Return the requests and the rows of a run that nothing disturbs."""
    root.mkdir()
    with ScriptedEndpoint(answers) as server:
        spec = write(root, server.url)
        assert start(spec).wait() == 0
        return len(server.requests), rows(spec)


def rows(spec: Path) -> list[dict[str, Any]]:
    """Return the rows of a run, without the digest, in which the server's address has no part."""
    lines = (spec.parent / "out" / "labels.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("write", "place"),
    [
        (write_spec, "row.labelled:kill:1"),
        (write_spec, "row.labelled:kill:4"),
        (write_spec, "row.labelled:kill:8"),
        (write_spec, "shard.written:kill:2"),
        (write_referring_spec, "row.labelled:kill:2"),
        (write_referring_spec, "row.labelled:kill:5"),
        (write_referring_spec, "shard.written:kill:1"),
    ],
)
def test_killed_run_asks_as_often_as_one_that_is_not(
    tmp_path: Path, write: Callable[[Path, str], Path], place: str
) -> None:
    wanted, expected = in_one_go(tmp_path / "undisturbed", write)
    (tmp_path / "killed").mkdir()
    with ScriptedEndpoint(answers) as server:
        spec = write(tmp_path / "killed", server.url)
        assert start(spec, AUTOLABEL_FAILPOINT=place).wait() == -signal.SIGKILL
        assert 0 < len(server.requests) < wanted
        assert start(spec).wait() == 0
        assert len(server.requests) == wanted
    assert rows(spec) == expected
    if write is write_spec:
        assert wanted == COUNT * 2 + COUNT
    else:
        assert wanted == COUNT * 2
        assert [one["expression"] for row in expected for one in row["instances"]] == ["a cat"] * COUNT


def test_run_that_is_killed_while_it_waits_repeats_that_question_alone(tmp_path: Path) -> None:
    wanted, expected = in_one_go(tmp_path / "undisturbed")
    (tmp_path / "killed").mkdir()
    running: list[subprocess.Popen[bytes]] = []

    def script(request: dict[str, Any], before: int) -> Scripted:
        if before == 4:
            running[0].kill()
            running[0].wait()
        return answers(request, before)

    with ScriptedEndpoint(script) as server:
        spec = write_spec(tmp_path / "killed", server.url)
        running.append(start(spec))
        assert running[0].wait() == -signal.SIGKILL
        assert start(spec).wait() == 0
        assert len(server.requests) == wanted + 1
    assert rows(spec) == expected


def test_consensus_of_a_detector_and_a_vision_language_model(tmp_path: Path) -> None:
    """The shipped detector finds cells in a photo; the model names one of them, and that alone has both votes."""
    photo = Path(__file__).resolve().parents[2] / "examples" / "bccd" / "images" / "BloodImage_00000.jpg"
    with Image.open(photo) as opened:
        width, height = opened.size
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / photo.name).write_bytes(photo.read_bytes())

    def write(members: str, votes: str = "") -> Path:
        path = tmp_path / "spec.yaml"
        path.write_text(f"""version: 1
data: {{images: [./images], classes: [red blood cell]}}
stages: [{{{members}{votes}, scheduler: {{type: fixed, rounds: [{{conf_threshold: 0.3}}]}}}}]
run: {{threads: 1}}
devices: cpu
export: []
results_dir: out
""")
        return path

    tiny = "{type: grounding_dino, checkpoint: tiny}"
    spec = write(f"labeler: {tiny}")
    assert start(spec).wait() == 0
    best = max(rows(spec)[0]["instances"], key=lambda one: one["score"])
    units = [edge / side * 1000 for edge, side in zip(best["bbox"], (width, height) * 2, strict=True)]
    elsewhere = [900, 900, 999, 999]
    found = [{"bbox_2d": box, "label": "red blood cell", "score": 0.9} for box in (units, elsewhere)]
    with ScriptedEndpoint(lambda request, before: Scripted(text=json.dumps(found))) as server:
        vlm = f"{{type: vlm, endpoint: '{server.url}', model: m, coordinates: unit_1000}}"
        spec = write(f"labelers: [{tiny}, {vlm}]", ", combine: {type: vote, votes: 2}")
        spec.write_text(spec.read_text().replace("results_dir: out", "results_dir: both"))
        assert start(spec).wait() == 0
    [row] = [json.loads(line) for line in (tmp_path / "both" / "labels.jsonl").read_text().splitlines()]
    assert [one["sources"] for one in row["instances"]] == [["grounding_dino", "vlm"]] * len(row["instances"])
    assert any(one["bbox"] == pytest.approx(best["bbox"], abs=1) for one in row["instances"])
    assert "vlm: scores are what the model says of itself" in row["notes"]


def test_equal_boxes_of_two_labelers_are_two_votes_under_an_ontology(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "0.png")
    path = tmp_path / "spec.yaml"
    with ScriptedEndpoint(answers) as server:
        asked = f"{{type: vlm, endpoint: '{server.url}', model: m, coordinates: unit_1000}}"
        path.write_text(f"""version: 1
data: {{images: [./images], classes: {{animal: {{phrases: [cat, kitten]}}}}}}
stages: [{{labelers: [{asked}, {asked}], combine: {{type: vote, votes: 2}}}}]
devices: cpu
export: []
results_dir: out
""")
        assert start(path).wait() == 0
    [row] = rows(path)
    assert [(box["phrase"], box["asked"], box["sources"]) for box in row["instances"]] == [
        ("animal", "cat", ["vlm", "vlm-2"])
    ]
