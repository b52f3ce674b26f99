"""A run of three images with boxes, masks and support by two looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import autolabel
from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec


@pytest.fixture
def spec(hazards_path: str, tmp_path: Path) -> dict[str, Any]:
    from autolabel_colors import Rectangle, save

    for index in range(3):
        rectangles = [Rectangle(2 + index, 3, 20 + index, 20, "red", 0.9), Rectangle(30, 30, 50, 60, "blue", 0.8)]
        save(tmp_path / "photos" / f"{index}.png", rectangles if index < 2 else [], size=(64, 80))
    return {
        "version": 1,
        "data": {"images": [str(tmp_path / "photos")], "classes": ["red", "blue", "green"]},
        "stages": [
            {"labeler": {"type": "colors"}, "looks": ["plain", "mirror"]},
            {"labeler": {"type": "filled"}},
        ],
        "devices": "cpu",
        "export": [],
        "results_dir": str(tmp_path / "run"),
    }


@pytest.fixture
def registry(hazards_path: str) -> Registry:
    return autolabel.discover()


@pytest.fixture
def run(spec: dict[str, Any], registry: Registry) -> Path:
    generate(compile_plan(load_spec(spec, registry=registry), registry=registry), registry=registry)
    return Path(spec["results_dir"])
