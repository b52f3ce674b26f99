"""The shipped specs, photos and checkpoints work together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autolabel.errors import WeightsError
from autolabel.plan.compile import compile_plan
from autolabel.plan.files import check_files
from autolabel.registry import Registry
from autolabel.results.ledger import read_labels
from autolabel.results.summary import Summary
from autolabel.run.generate import generate
from autolabel.spec.load import load_spec

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(ROOT.glob("specs/**/*.yaml"))
CELLS = {"red blood cell", "white blood cell", "platelet"}


def run(registry: Registry, name: str, out: Path, *overrides: str, limit: int = 2) -> Summary:
    spec = load_spec(
        ROOT / "specs" / name, overrides=[f"results_dir={out}", "run.threads=1", *overrides], registry=registry
    )
    compiled = compile_plan(spec, registry=registry, limit=limit)
    return generate(compiled, registry=registry)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_spec_is_valid(registry: Registry, path: Path) -> None:
    overrides = {"bccd-dev.yaml": ["data.images=[examples/bccd/images]"], "box2seg.yaml": ["mal.checkpoint=tiny-mal"]}
    spec = load_spec(path, overrides=["devices=cpu", *overrides.get(path.name, [])], registry=registry)
    try:
        check_files(spec)
    except WeightsError as error:
        assert "HF_HUB_OFFLINE is set" in str(error), "valid but for models on the hub, which no test asks"
    assert spec.stages


def test_quickstart_finds_all_three_classes_and_their_masks(registry: Registry, tmp_path: Path) -> None:
    summary = run(registry, "quickstart.yaml", tmp_path, "devices=cpu")
    assert summary.states["labelled"] == 2
    assert {phrase for phrase, _ in summary.found} == CELLS
    assert summary.masks == summary.boxes >= 20
    out = tmp_path / "first-2"
    coco = json.loads((out / "coco" / "annotations.json").read_text())
    assert {category["name"] for category in coco["categories"]} == CELLS
    assert all(annotation["segmentation"]["counts"] for annotation in coco["annotations"])
    assert len(list((out / "images_annotated").glob("*.jpg"))) == 2
    assert (out / "report" / "index.html").stat().st_size > 20_000
    for labels in read_labels(out):
        for box, mask in zip(labels.instances.boxes, labels.instances.masks or (), strict=True):
            assert mask is not None
            x1, y1, x2, y2 = box
            share = mask.area() / float((x2 - x1) * (y2 - y1))
            assert 0.2 < share <= 1.1, "a mask fills some of its box and hardly leaves it"


def test_looks_are_asked_by_round_and_weigh_every_box(registry: Registry, tmp_path: Path) -> None:
    summary = run(registry, "looks.yaml", tmp_path, "devices=cpu")
    assert {phrase for phrase, _ in summary.found} == CELLS
    supports = [one for labels in read_labels(tmp_path / "first-2") for one in labels.instances.support or ()]
    assert len(supports) == summary.boxes >= 20
    assert all(1 <= one.looks <= one.asked <= 3 for one in supports) and max(one.asked for one in supports) > 1


def test_a_tao_text2box_spec_runs_with_devices_overridden(registry: Registry, tmp_path: Path) -> None:
    summary = run(registry, "tao/text2box.yaml", tmp_path, "devices=cpu")
    assert {phrase for phrase, _ in summary.found} == CELLS
    assert (tmp_path / "first-2" / "odvg" / "annotations.jsonl").read_text().count("\n") == 2


def test_a_tao_box2seg_spec_runs_with_checkpoint_and_devices_overridden(registry: Registry, tmp_path: Path) -> None:
    summary = run(registry, "tao/box2seg.yaml", tmp_path, "devices=cpu", "mal.checkpoint=tiny-mal", limit=1)
    given = json.loads((ROOT / "examples" / "bccd" / "boxes.json").read_text())
    [image] = [image for image in given["images"] if image["file_name"] == "BloodImage_00000.jpg"]
    before = {a["id"]: a for a in given["annotations"] if a["image_id"] == image["id"]}
    coco = json.loads((tmp_path / "first-1" / "coco" / "instances_mal.json").read_text())
    after = {a["id"]: a for a in coco["annotations"]}
    assert after.keys() == before.keys()
    assert all(after[key]["category_id"] == before[key]["category_id"] for key in before)
    assert all(after[key]["bbox"] == pytest.approx(before[key]["bbox"], abs=0.01) for key in before)
    assert summary.masks == len(before)
