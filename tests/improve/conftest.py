"""A run of drawn photos whose detector learns in no time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.plan.compile import compile_plan
from autolabel.registry import Registry, discover
from autolabel.results.decision import Decision, Review, encode_review
from autolabel.run.generate import generate
from autolabel.run.outputs import review_run
from autolabel.spec.load import spec_from_mapping
from tests.installed import installed
from tests.specs import make_spec

COLORS = ("red", "blue")


@pytest.fixture(scope="module")
def learner_path(example_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make the learner look installed, here and in processes started with this as PYTHONPATH."""
    here = Path(__file__).parent
    with installed(tmp_path_factory.mktemp("learner"), "learner", "autolabel_learner", source=here) as paths:
        yield os.pathsep.join([paths, example_path])


@pytest.fixture
def learning(learner_path: str) -> Registry:
    """The strategies with the learner."""
    return discover()


@pytest.fixture
def photos(tmp_path: Path, learner_path: str) -> Path:
    """Thirty photos with two red and two blue rectangles each, on noise of their own."""
    from autolabel_colors import shade

    for number in range(30):
        generator = np.random.default_rng(number)
        pixels = generator.integers(60, 200, (140, 200, 3), np.uint8)
        for color, x, y in (("red", 4, 4), ("red", 100, 8), ("blue", 8, 70), ("blue", 104, 72)):
            (left, top), (wide, high) = generator.integers(0, 20, 2), generator.integers(16, 40, 2)
            pixels[y + top : y + top + high, x + left : x + left + wide] = shade(color, 0.8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


def skill(folder: Path, value: float) -> Path:
    """Write a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skill.json").write_text(json.dumps({"skill": value}))
    return folder


@pytest.fixture
def run(tmp_path: Path, photos: Path, learning: Registry) -> Path:
    """A run that has found half of all rectangles."""
    stage = {"labeler": {"type": "learner", "checkpoint": str(skill(tmp_path / "weights", 0.5))}}
    spec = make_spec(photos, tmp_path / "runs" / "shapes", classes=COLORS, stages=[stage], export=[{"type": "coco"}])
    made = spec_from_mapping(spec, root=tmp_path, registry=learning)
    generate(compile_plan(made, registry=learning), registry=learning)
    return tmp_path / "runs" / "shapes"


@pytest.fixture
def check(photos: Path, tmp_path: Path, learning: Registry) -> Callable[[Path, Sequence[int]], None]:
    """Check photos of a run wholly, by number: all four rectangles are kept, or drawn where they were not found."""
    from autolabel_colors import COLORS as SHADES
    from autolabel_colors import find_flat

    def decisions(name: str) -> Iterator[Decision]:
        flat = find_flat(np.asarray(Image.open(photos / name).convert("RGB")), 3)
        for box, color in zip(flat.boxes.tolist(), flat.colors.tolist(), strict=True):
            near: dict[str, Any] = {one: abs(np.subtract(SHADES[one], color)).max() for one in COLORS}
            phrase = min(near, key=lambda one: near[one])
            if near[phrase] < 100:
                yield Decision(image=name, phrase=phrase, bbox=tuple(box), verdict="keep")
        yield Decision(image=name, verdict="checked")

    def said(run: Path, numbers: Sequence[int]) -> None:
        made = tuple(one for number in numbers for one in decisions(f"{number:02d}.png"))
        file = tmp_path / "said.json"
        file.write_bytes(encode_review(Review(version=2, plan="other", decisions=made)))
        review_run(run, file, registry=learning)

    return said
