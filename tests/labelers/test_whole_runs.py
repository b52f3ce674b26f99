"""Whole runs from the command line with random weights."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from autolabel.cli.app import app
from autolabel.errors import SpecError
from tests.labelers.tiny_models import photo

Rows = list[dict[str, Any]]

SPEC = """\
version: 1
data: {{images: [images], classes: [cat, red car]}}
stages:
  - labeler: {{type: {detector}, checkpoint: {checkpoint}}}
    scheduler: {{type: fixed, rounds: [{{conf_threshold: {high}}}, {{conf_threshold: {low}}}]}}
    aggregator: {{type: nms, threshold: 0.5}}
{masks}
devices: cpu
run: {{threads: 1}}
results_dir: out
"""


def generate(folder: Path, spec: str) -> Rows:
    """Run a spec over three images of different sizes; return the rows of labels.jsonl."""
    (folder / "images").mkdir()
    for index, size in enumerate([(40, 60), (64, 64), (30, 90)]):
        Image.fromarray(photo(*size, seed=index).pixels).save(folder / "images" / f"{index}.png")
    (folder / "spec.yaml").write_text(spec)
    done = CliRunner().invoke(app, ["generate", str(folder / "spec.yaml"), "--quiet"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in (folder / "out" / "labels.jsonl").read_text().splitlines()]


def test_owlv2_finds_boxes_and_sam2_cuts_them_out(owlv2: Path, sam2: Path, tmp_path: Path) -> None:
    masks = f"  - labeler: {{type: sam2, checkpoint: {sam2}}}"
    rows = generate(tmp_path, SPEC.format(detector="owlv2", checkpoint=owlv2, masks=masks, high=0.7, low=0.4))
    check(rows)
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    hashed = [[file["name"] for file in stage["weights"]["files"]] for stage in plan["recipe"]["stages"]]
    assert hashed[0] == ["config.json", "merges.txt", "model.safetensors", "preprocessor_config.json", "vocab.json"]
    assert hashed[1] == ["config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.mark.soak
def test_sam3_finds_boxes_with_masks(sam3: Path, tmp_path: Path) -> None:
    check(generate(tmp_path, SPEC.format(detector="sam3", checkpoint=sam3, masks="", high=0.2, low=0.01)))


def check(rows: Rows) -> None:
    """Check that every image has boxes, each with a mask of its own size, and the round that found it."""
    assert [row["state"] for row in rows] == ["labelled"] * 3
    boxes = [box for row in rows for box in row["instances"]]
    assert {box["phrase"] for box in boxes} <= {"cat", "red car"}
    assert {box["round"] for box in boxes} <= {0, 1}
    for row in rows:
        assert all(box["segmentation"]["size"] == [row["height"], row["width"]] for box in row["instances"])


def test_a_wrong_folder_is_an_error_at_its_line(owlv2: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    spec = SPEC.format(detector="omdet_turbo", checkpoint=owlv2, masks="", high=0.5, low=0.4)
    (tmp_path / "spec.yaml").write_text(spec)
    done = CliRunner().invoke(app, ["validate", str(tmp_path / "spec.yaml")])
    assert isinstance(done.exception, SpecError)
    message = r"spec\.yaml:4:34: stages\[0\]\.labeler\.checkpoint: .*says model_type 'owlv2', wanted 'omdet-turbo'"
    assert re.search(message, str(done.exception))
