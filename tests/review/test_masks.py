"""The mask stage of a run makes masks for boxes that a person moves or draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import numpy as np
import pytest

from autolabel.errors import DataError, ImageError, WeightsError
from autolabel.plan.compile import compile_plan
from autolabel.plan.model import Plan
from autolabel.registry import Registry, discover
from autolabel.review import masks
from autolabel.review.masks import MaskStage
from autolabel.spec.load import spec_from_mapping
from autolabel.strategies import Segmenter
from autolabel.types import Image, Instances, Labels, Prompt, Rle, Sample
from tests.specs import make_spec


class Reddish(Segmenter):
    """Marks the red pixels in a box."""

    name = "reddish"
    loaded: list[str]

    def load(self, device: str) -> None:
        Reddish.loaded.append(device)

    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        out = []
        for sample in batch:
            found: list[Rle | None] = []
            for x1, y1, x2, y2 in sample.instances.boxes.astype(int).tolist():
                inside = np.zeros(sample.image.size, bool)
                part = sample.pixels[y1:y2, x1:x2].astype(int)
                inside[y1:y2, x1:x2] = part[..., 0] > part[..., 1] + 50
                found.append(Rle.encode(inside))
            out.append(replace(sample.instances, masks=tuple(found)))
        return out


@pytest.fixture
def masked(example_path: str) -> Iterator[Registry]:
    """The strategies, and the segmenter of this test."""
    made = discover()
    made.add("labeler", Reddish, package="tests", version="1")
    Reddish.loaded = []
    yield made


@pytest.fixture
def plan_of(masked: Registry, tmp_path: Path) -> Callable[..., Plan]:
    from autolabel_colors import save

    save(tmp_path / "photos" / "a.png", [(4, 4, 24, 24, "red", 0.9)])

    def make(*stages: str) -> Plan:
        named = [{"labeler": {"type": name}} for name in stages]
        spec = make_spec(tmp_path / "photos", tmp_path / "run", stages=named)
        return compile_plan(spec_from_mapping(spec, root=tmp_path, registry=masked), registry=masked).plan

    return make


@pytest.fixture
def row(tmp_path: Path) -> Labels:
    image = Image(id="a.png", path=str(tmp_path / "photos" / "a.png"), size=(64, 64))
    return Labels(image=image, prompt=Prompt(("red",)), instances=Instances.empty())


def test_a_box_gets_the_mask_of_its_own_pixels(plan_of: Callable[..., Plan], masked: Registry, row: Labels) -> None:
    stage = MaskStage.of(plan_of("colors", "reddish"), registry=masked)
    assert stage is not None and Reddish.loaded == [], "weights are not loaded before they are needed"
    mask = stage.mask(row, "red", (10.0, 0.0, 40.0, 12.0))
    assert mask is not None and mask.bounds() == (10, 4, 24, 12) and mask.area() == 14 * 8
    assert stage.mask(row, "red", (40.0, 40.0, 60.0, 60.0)) is None, "nothing red in there"
    assert Reddish.loaded == ["cpu"], "loaded once"


def test_many_requests_load_the_stage_once(plan_of: Callable[..., Plan], masked: Registry, row: Labels) -> None:
    stage = MaskStage.of(plan_of("colors", "reddish"), registry=masked)
    assert stage is not None
    found: list[Any] = []
    threads = [Thread(target=lambda: found.append(stage.mask(row, "red", (4.0, 4.0, 24.0, 24.0)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Reddish.loaded == ["cpu"] and [mask.area() for mask in found] == [400] * 6


def test_a_run_without_a_mask_stage_has_none(plan_of: Callable[..., Plan], masked: Registry) -> None:
    assert MaskStage.of(plan_of("colors"), registry=masked) is None


@pytest.mark.parametrize(
    ("planned", "asked", "gpus", "loaded"),
    [
        ("cuda:1", None, 2, "cuda:1"),
        ("cuda:1", None, 1, "cpu"),
        ("cuda:0", None, 0, "cpu"),
        ("cuda:0", "mps", 1, "mps"),
        ("cpu", None, 1, "cpu"),
    ],
)
def test_the_device_is_the_given_one_or_that_of_the_run_if_it_is_here(
    plan_of: Callable[..., Plan],
    masked: Registry,
    row: Labels,
    monkeypatch: pytest.MonkeyPatch,
    planned: str,
    asked: str | None,
    gpus: int,
    loaded: str,
) -> None:
    plan = plan_of("colors", "reddish")
    elsewhere = msgspec.structs.replace(
        plan, execution=msgspec.structs.replace(plan.execution, workers=(planned, "cuda:9"))
    )
    monkeypatch.setattr(masks, "cuda_count", lambda: gpus)
    stage = MaskStage.of(elsewhere, registry=masked, device=asked)
    assert stage is not None
    stage.mask(row, "red", (4.0, 4.0, 24.0, 24.0))
    assert Reddish.loaded == [loaded]


def test_an_image_that_is_gone_or_has_changed_gets_no_mask(
    plan_of: Callable[..., Plan], masked: Registry, row: Labels
) -> None:
    stage = MaskStage.of(plan_of("colors", "reddish"), registry=masked)
    assert stage is not None
    larger = replace(row, image=replace(row.image, size=(64, 80)))
    with pytest.raises(DataError, match=r"a\.png has another size"):
        stage.mask(larger, "red", (4.0, 4.0, 24.0, 24.0))
    Path(row.image.path).unlink()
    with pytest.raises(ImageError):
        stage.mask(row, "red", (4.0, 4.0, 24.0, 24.0))
    assert Reddish.loaded == []


def test_weights_that_cannot_be_loaded_are_tried_again(
    plan_of: Callable[..., Plan], masked: Registry, row: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = MaskStage.of(plan_of("colors", "reddish"), registry=masked)
    assert stage is not None

    def missing(self: Reddish, device: str) -> None:
        raise WeightsError("no such file")

    with monkeypatch.context() as patch:
        patch.setattr(Reddish, "load", missing)
        with pytest.raises(WeightsError):
            stage.mask(row, "red", (4.0, 4.0, 24.0, 24.0))
    assert stage.mask(row, "red", (4.0, 4.0, 24.0, 24.0)) is not None
