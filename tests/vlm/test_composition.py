"""The labeler `vlm` as a detector among detectors: tiles, looks, rounds, and candidates that are kept."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.registry import Registry
from autolabel.testing.endpoint import Scripted, ScriptedEndpoint, picture_of
from tests.vlm.test_labeler import boxes, rows

pytest.importorskip("httpx")
SQUARE = [70, 20, 90, 50]


def sees(request: dict[str, Any], before: int) -> Scripted:
    """Return the red pixels of a picture as a cat in thousandths of its sides; nothing where there are none."""
    with Image.open(io.BytesIO(picture_of(request))) as opened:
        pixels = np.asarray(opened.convert("RGB"), int)
    red = (pixels[..., 0] > 170) & (pixels[..., 1] < 75)
    if not red.any():
        return Scripted(text="[]")
    down, along = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    height, width = red.shape
    box = [along[0] / width, down[0] / height, (along[-1] + 1) / width, (down[-1] + 1) / height]
    return Scripted(text=json.dumps([{"bbox_2d": [edge * 1000 for edge in box], "label": "cat", "score": 0.8}]))


def spec(root: Path, url: str, more: str, run: str = "", threshold: str = "0.3") -> Path:
    """Write a spec for one photo of 128 x 64 with a red square."""
    (root / "images").mkdir(exist_ok=True)
    pixels = np.full((64, 128, 3), 128, np.uint8)
    pixels[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = (220, 20, 20)
    Image.fromarray(pixels).save(root / "images" / "0.png")
    path = root / "spec.yaml"
    path.write_text(f"""version: 1
data: {{images: [./images], classes: [cat]}}
stages:
  - labeler: {{type: vlm, endpoint: '{url}', model: m, coordinates: unit_1000, image_format: png}}
    scheduler: {{type: fixed, rounds: [{{conf_threshold: {threshold}}}]}}
    {more}
run: {{{run}}}
devices: cpu
export: []
results_dir: out
""")
    return path


def test_tiles(tmp_path: Path, registry: Registry) -> None:
    """Two tiles and the whole image: the square lies in one tile, and its two boxes become one."""
    with ScriptedEndpoint(sees) as server:
        [row] = rows(spec(tmp_path, server.url, "tiles: {size: 64, overlap: 0.0}"), registry)
        assert len(server.requests) == 3
    [(phrase, box, score)] = boxes(row)
    assert (phrase, score) == ("cat", 0.8)
    assert box == pytest.approx(SQUARE, abs=0.01)


def test_looks(tmp_path: Path, registry: Registry) -> None:
    """The image and its mirror image: both see the square at the same place."""
    with ScriptedEndpoint(sees) as server:
        [row] = rows(spec(tmp_path, server.url, "looks: [{type: plain}, {type: flip}]"), registry)
        assert len(server.requests) == 2
    [found] = row["instances"]
    assert found["bbox"] == pytest.approx(SQUARE, abs=0.01)
    assert found["support"] == {"looks": 2, "labelers": 1, "asked": 2}


def test_candidates_answer_another_threshold(tmp_path: Path, registry: Registry) -> None:
    with ScriptedEndpoint(sees) as server:
        run = "candidates: ./kept, answers: ./answers-one"
        assert len(boxes(rows(spec(tmp_path, server.url, "", run), registry)[0])) == 1
        run = "candidates: ./kept, answers: ./answers-two"
        assert boxes(rows(spec(tmp_path, server.url, "", run, threshold="0.9"), registry, mode="fresh")[0]) == []
        assert len(server.requests) == 1
