"""Labelers on a device give what they give on the CPU: AUTOLABEL_TEST_DEVICE=cpu tries the tests themselves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel.registry import Registry
from autolabel.run.anneal import bisect_on_error, out_of_memory
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Image, Instances, Prompt, Sample
from autolabel_grounding_dino import torch_kernel
from autolabel_grounding_dino.deformable import disagreement, fastest_kernel
from autolabel_grounding_dino.labeler import GroundingDino
from autolabel_mal.labeler import Mal
from benchmarks._matched import matched
from benchmarks.small_detector import MODEL
from tests.grounding_dino.checkpoints import random_folder

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = sorted((ROOT / "examples" / "bccd" / "images").iterdir())[:2]
CELLS = Prompt(("red blood cell", "white blood cell", "platelet"))


def photo(path: Path, boxes: Sequence[Sequence[float]] = ()) -> Sample:
    from autolabel.images import read_pixels

    pixels = read_pixels(path)
    found = Instances.empty()
    if boxes:
        found = Instances.build(np.array(boxes, np.float32), scores=np.ones(len(boxes)), labels=np.zeros(len(boxes)))
    image = Image(id=path.name, path=str(path), size=pixels.shape[:2])
    return Sample(image=image, pixels=pixels, prompt=CELLS, instances=found)


def found_on(device: str, precision: str, batch: int = 2) -> list[Instances]:
    detector = GroundingDino(GroundingDino.Params.model_validate({"checkpoint": "tiny", "precision": precision}))
    detector.load(device)
    items = [detector.preprocess(photo(path)) for path in PHOTOS]
    return [
        one
        for start in range(0, len(items), batch)
        for one in detector.detect(detector.prepare(items[start : start + batch]), [CELLS] * batch, 0.05)
    ]


@pytest.fixture(scope="module")
def reference() -> list[Instances]:
    return found_on("cpu", "float32")


def test_the_kernel_of_the_device_agrees_with_torchs(device: str) -> None:
    kernel = fastest_kernel(device)
    assert disagreement(kernel, device) < 1e-3
    assert (kernel is not torch_kernel.attend) or not device.startswith("cuda")


@pytest.mark.parametrize(("precision", "least"), [("float32", 0.99), ("bfloat16", 0.85)])
def test_boxes_are_those_of_the_cpu(device: str, precision: str, least: float, reference: list[Instances]) -> None:
    result = matched(zip(reference, found_on(device, precision), strict=True))
    assert result.boxes > 20
    assert result.share >= least


def test_a_batch_finds_what_each_photo_finds_alone(device: str) -> None:
    result = matched(zip(found_on(device, "float32", 1), found_on(device, "float32", 2), strict=True))
    assert result.boxes > 20 and result.share >= 0.99


def test_masks_are_those_of_the_cpu(device: str) -> None:
    boxes = [(40.0, 60.0, 160.0, 190.0), (200.0, 100.0, 420.0, 330.0), (5.0, 5.0, 30.0, 25.0)]
    masks = []
    for name in ("cpu", device):
        mal = Mal(Mal.Params(checkpoint="tiny-mal"))
        mal.load(name)
        masks.append([mask.decode() for mask in mal.segment([photo(PHOTOS[0], boxes)])[0].masks or () if mask])
    overlaps = [float((a & b).sum() / (a | b).sum()) for a, b in zip(*masks, strict=True)]
    assert len(overlaps) == 3 and min(overlaps) > 0.95


def test_out_of_memory_is_told_and_halved(device: str, tmp_path: Path) -> None:
    """A batch that asks for more than there is; the error is the device's own."""
    detector = GroundingDino(GroundingDino.Params(checkpoint=str(random_folder(tmp_path / "folder", MODEL))))
    detector.load(device)
    told = []

    def work(batch: Sequence[Any]) -> Sequence[Any]:
        if len(batch) > 1:
            try:
                torch.empty(1 << 52, dtype=torch.uint8, device=device)
            except Exception as error:
                told.append(out_of_memory(error))
                raise
        return detector.prepare(batch)

    items = [detector.preprocess(photo(path)) for path in PHOTOS]
    assert not any(isinstance(one, Exception) for one in bisect_on_error(work, items))
    assert told == [True]


def test_a_run_gives_the_same_bytes_twice(device: str, registry: Registry, tmp_path: Path) -> None:
    from autolabel.plan.compile import compile_plan
    from autolabel.run.generate import generate

    photos, lines = tmp_path / "photos", []
    photos.mkdir()
    for path in PHOTOS:
        shutil.copyfile(path, photos / path.name)
    for turn in ("first", "second"):
        spec = {
            "version": 1,
            "devices": [int(device.partition(":")[2] or 0)] if device.startswith("cuda") else device,
            "data": {"images": [str(photos)], "classes": list(CELLS.phrases)},
            "stages": [{"labeler": {"type": "grounding_dino", "checkpoint": "tiny"}}],
            "results_dir": str(tmp_path / turn),
        }
        compiled = compile_plan(spec_from_mapping(spec, root=tmp_path, registry=registry), registry=registry)
        generate(compiled, registry=registry)
        lines.append((tmp_path / turn / "labels.jsonl").read_bytes())
    assert lines[0] == lines[1] and lines[0].count(b"\n") == 2
