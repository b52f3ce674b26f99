"""Masks are learnt from boxes through the labeler: what is looked at, what is kept, and under which licence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from autolabel.errors import DataError
from autolabel.registry import Registry
from autolabel.run.train import train
from autolabel.weights import licence_of
from autolabel_mal.labeler import Mal
from autolabel_mal.learning.export import export
from autolabel_mal.learning.figures import compare_overlaps
from autolabel_mal.load import load_networks
from autolabel_mal.network import MalNetwork
from autolabel_mal.sizes import from_arch
from autolabel_training.loop import STATE_FILE

FEW: dict[str, Any] = {"steps": 2, "batch": 2, "checks": 1, "warmup": 1, "frozen_stages": 2}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A small random network under a licence of its own."""
    torch.manual_seed(4)
    export(MalNetwork(replace(from_arch("efficientnet-lite0"), crop=64)), tmp_path / "start", licence="cc-by-nc-4.0")
    return tmp_path / "start"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A COCO file of six photos with two round things and a crowd each, with their masks."""
    images, annotations = [], []
    (tmp_path / "photos").mkdir()
    ys, xs = np.mgrid[:60, :80]
    for number in range(1, 7):
        blocks = np.random.default_rng(number).integers(20, 160, (6, 8, 1), np.uint8)
        pixels = np.kron(blocks, np.ones((10, 10, 3), np.uint8))
        for left in (5 + 3 * number, 42 + 2 * number):
            inside = (xs - left - 12) ** 2 + (ys - 30) ** 2 <= 144
            pixels[inside] = (220, 60, 40)
            angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
            outline = np.stack([left + 12 + 12 * np.cos(angles), 30 + 12 * np.sin(angles)], 1)
            annotations.append({"bbox": [left, 18, 24, 24], "segmentation": [outline.flatten().tolist()], "iscrowd": 0})
        annotations.append({"bbox": [0, 0, 80, 17], "iscrowd": 1, "segmentation": [[0, 0, 80, 0, 80, 17]]})
        for one in annotations[-3:]:
            one |= {"image_id": number, "category_id": 1, "id": len(annotations) + annotations.index(one)}
        Pillow.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 80, "height": 60})
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "round thing"}]}
    (tmp_path / "masks.json").write_text(json.dumps(coco))
    for one in annotations:
        del one["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    return tmp_path / "photos"


def learn(registry: Registry, source: Path, start: Path, out: Path, **changes: Any) -> Any:
    told: list[dict[str, Any]] = []
    trained = train(
        source,
        images=[source.parent / "photos"],
        start=str(start),
        labeler="mal",
        out=out,
        settings=FEW | changes,
        registry=registry,
        device="cpu",
        told=lambda one: told.append(dict(one)),
    )
    return trained, told


def test_masks_choose_among_weights_and_boxes_alone_do_not(
    registry: Registry, start: Path, photos: Path, tmp_path: Path
) -> None:
    masks, told = learn(registry, tmp_path / "masks.json", start, tmp_path / "a")
    assert masks.figures["metric"] == "mean IoU of masks" and masks.figures["boxes"] == 2 * masks.dev
    assert masks.figures["gain"]["value"] >= 0 or masks.figures["step"] == 0
    assert any(record["event"] == "dev" and 0 <= record["iou"]["round thing"] <= 1 for record in told)
    boxes, told = learn(registry, tmp_path / "boxes.json", start, tmp_path / "b")
    assert boxes.figures is None and not any(record["event"] == "dev" for record in told)
    assert "unmeasured" in (tmp_path / "b" / "checkpoint" / "README.md").read_text()
    assert (boxes.train, boxes.dev) == (6, 0), "without masks no image has to be held back"
    card = (tmp_path / "b" / "checkpoint" / "README.md").read_text()
    assert "on 6 images of boxes.json." in card and "chose among" not in card.partition("| class")[0]


def test_the_near_duplicate_of_a_dev_image_is_not_learnt_from_for_want_of_a_mask(
    registry: Registry, start: Path, photos: Path, tmp_path: Path
) -> None:
    coco = json.loads((tmp_path / "masks.json").read_text())
    for number in range(3, 7):
        (photos / f"{number}.png").write_bytes((photos / "2.png").read_bytes())
    Pillow.fromarray(np.random.default_rng(9).integers(0, 255, (60, 80, 3), np.uint8)).save(photos / "1.png")
    for one in coco["annotations"]:
        if one["image_id"] == 3:
            del one["segmentation"]
    (tmp_path / "some.json").write_text(json.dumps(coco))
    trained, _ = learn(registry, tmp_path / "some.json", start, tmp_path / "out")
    assert (trained.train, trained.dev) == (1, 4), "of five copies, which are dev images, four have masks"


def test_no_mask_is_learnt_from(registry: Registry, start: Path, photos: Path, tmp_path: Path) -> None:
    """All masks are exchanged for triangles: the weights after the last step stay the same."""
    learn(registry, tmp_path / "masks.json", start, tmp_path / "a")
    coco = json.loads((tmp_path / "masks.json").read_text())
    for one in coco["annotations"]:
        x, y, width, height = one["bbox"]
        one["segmentation"] = [[x, y, x + width, y, x, y + height]]
    (tmp_path / "other.json").write_text(json.dumps(coco))
    learn(registry, tmp_path / "other.json", start, tmp_path / "b")
    states = [torch.load(tmp_path / name / STATE_FILE, weights_only=True)["student"] for name in "ab"]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_the_licence_of_the_start_stays(registry: Registry, start: Path, photos: Path, tmp_path: Path) -> None:
    learn(registry, tmp_path / "boxes.json", start, tmp_path / "out")
    found = licence_of(tmp_path / "out" / "checkpoint")
    assert (found.name, found.commercial) == ("cc-by-nc-4.0", False)
    (tmp_path / "out" / "checkpoint" / "README.md").unlink()
    assert licence_of(tmp_path / "out" / "checkpoint").commercial is False


def test_a_stopped_training_ends_where_a_whole_one_does(
    registry: Registry, start: Path, photos: Path, tmp_path: Path
) -> None:
    source, settings = tmp_path / "masks.json", FEW | {"steps": 4, "checks": 2}
    learn(registry, source, start, tmp_path / "whole", **settings)

    class Stop(Exception):
        """Somebody pressed Ctrl-C."""

    def stop(record: Any) -> None:
        if record["event"] == "dev" and record["step"] == 2:
            raise Stop

    asked: dict[str, Any] = {"images": [photos], "start": str(start), "labeler": "mal", "registry": registry}
    with pytest.raises(Stop):
        train(source, out=tmp_path / "parts", settings=settings, device="cpu", told=stop, **asked)
    learn(registry, source, start, tmp_path / "parts", **settings)
    whole, parts = (torch.load(tmp_path / one / STATE_FILE, weights_only=True) for one in ("whole", "parts"))
    for kind in ("student", "teacher"):
        assert all(torch.equal(whole[kind][name], parts[kind][name]) for name in whole[kind])
    first, second = (load_file(tmp_path / one / "checkpoint" / "model.safetensors") for one in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_move_where_they_may_and_load_again(
    registry: Registry, start: Path, photos: Path, tmp_path: Path
) -> None:
    learn(registry, tmp_path / "boxes.json", start, tmp_path / "out")
    [before], [after] = (
        load_networks(folder, Mal.Params(checkpoint=str(folder))) for folder in (start, tmp_path / "out" / "checkpoint")
    )
    new = after.state_dict()
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, new[name])}
    assert any(name.startswith("mask_head.") for name in moved) and any(name.startswith("backbone.") for name in moved)
    weights = {name for name, _ in before.named_parameters()}
    assert not any(
        name.startswith(("backbone.body.stem", "backbone.body.stages.0.", "backbone.body.stages.1."))
        for name in moved & weights
    )


def test_too_small_boxes_are_told(registry: Registry, start: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no box has sides of 200 px or more"):
        learn(registry, tmp_path / "boxes.json", start, tmp_path / "out", smallest_side=200)


def test_figures_are_those_of_boxes_and_intervals_those_of_images() -> None:
    before = [{"a": [0.2, 0.4]}, {"a": [0.6], "b": [0.8]}] * 10
    after = [{"a": [0.4, 0.6]}, {"a": [0.8], "b": [1.0]}] * 10
    found = compare_overlaps(before, after, groups=[str(number) for number in range(20)])
    assert found["before"]["a"]["value"] == pytest.approx(0.4) and found["after"]["mean"]["value"] == pytest.approx(0.7)
    assert found["gain"]["value"] == pytest.approx(0.2) and found["gain"]["interval"] == pytest.approx([0.2, 0.2])
    low, high = found["before"]["mean"]["interval"]
    assert low < 0.5 < high


def test_near_duplicates_are_drawn_as_one_and_one_image_tells_no_interval() -> None:
    before, after = [{"a": [0.2]}, {"a": [0.2]}, {"a": [0.6]}, {"a": [0.6]}], [{"a": [0.4]}] * 4

    def gain(groups: str) -> Any:
        return compare_overlaps(before, after, groups=groups)["gain"]

    assert [gain(groups)["value"] for groups in ("abcd", "aabb", "aaaa")] == pytest.approx([0.0] * 3)
    assert gain("aabb")["interval"] == pytest.approx([-0.2, 0.2])
    assert gain("aaaa")["interval"] is None
    many = compare_overlaps(before * 10, after * 10, groups=[str(number) for number in range(40)])["gain"]["interval"]
    assert many[1] - many[0] < 0.2
