"""A run's memory does not grow with the number of images that it labels."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from autolabel.data.inputs import decode_input
from autolabel.plan import plan_file
from autolabel.plan.compile import compile_plan
from autolabel.plan.model import Plan, Stage
from autolabel.registry import Registry
from autolabel.results import record
from autolabel.results.ledger import read_labels, write_ledger
from autolabel.results.store import RunStore, publish
from autolabel.run.generate import generate
from autolabel.run.outputs import write_outputs
from autolabel.run.worker import Done, Watch
from autolabel.spec.load import spec_from_mapping
from autolabel.types import Instances
from tests.specs import make_spec

MIB = 1 << 20


class Scales(Watch):
    """Weighs the process now and then."""

    def __init__(self, warm: int) -> None:
        self.warm = warm
        self.rows = 0
        self.sizes: list[int] = []

    def stage_started(self, plan: Plan, stage: Stage, *, rows: int, left: int) -> None:
        self.started = self.weight()

    def weight(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def row(self, done: Done) -> None:
        self.rows += 1
        if self.rows >= self.warm and self.rows % 500 == 0:
            self.sizes.append(self.weight())

    def writing(self, name: str) -> None:
        self.sizes.append(self.weight())


def link_pictures(folder: Path, images: int) -> None:
    """Make that many links to a picture, a thousand in each folder: file systems allow a file so many."""
    from autolabel_colors import save

    for index in range(images):
        inside = folder / f"{index // 1000:04d}"
        if index % 1000 == 0:
            first = save(inside / f"{index:07d}.png", [(1, 2, 9, 9, "red")], size=(16, 16))
        else:
            os.link(first, inside / f"{index:07d}.png")


def mapping(folder: Path, **changes: Any) -> dict[str, Any]:
    return (
        make_spec(
            folder / "photos",
            folder / "run",
            run={"executor": "inline", "num_workers": 1, "shard_size": 256},
            export=[{"type": "coco"}],
            report=True,
        )
        | changes
    )


def weigh(registry: Registry, folder: Path, images: int) -> tuple[int, int]:
    """Label that many links to one picture; return the growth after warm-up and that before the first image."""
    link_pictures(folder / "photos", images)
    spec = mapping(folder, report=False)
    scales = Scales(warm=min(1000, images // 2))
    before = scales.weight()
    compiled = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry)
    summary = generate(compiled, registry=registry, watch=scales)
    assert summary.states["labelled"] == images
    return max(scales.sizes) - scales.sizes[0], scales.started - before


def test_two_thousand_images(registry: Registry, tmp_path: Path) -> None:
    growth, _ = weigh(registry, tmp_path, 2000)
    assert growth < 20 * MIB


def test_twenty_thousand_images_are_planned_exported_reported(registry: Registry, tmp_path: Path) -> None:
    """What the driver does besides labeling; the labels are made here."""
    photos, images = tmp_path / "photos", 20_000
    link_pictures(photos, images)
    scales = Scales(warm=0)
    before = scales.weight()
    compiled = compile_plan(spec_from_mapping(mapping(tmp_path), root=tmp_path, registry=registry), registry=registry)
    plan, store = compiled.plan, RunStore.at(compiled.plan)
    scales.writing("plan")
    publish(store.root / "plan.json", [plan_file.encode_plan(plan)], name="plan")
    [stage], found = plan.recipe.stages, Instances.build([[1, 2, 9, 9]], scores=[0.9], labels=[0])
    rows = iter(compiled.rows)
    for shard in plan.manifest.shards:
        labels = (
            replace(decode_input(row).labels(plan.manifest.classes), instances=found)
            for row in islice(rows, shard.rows)
        )
        store.publish_shard(plan, stage, shard, (record.encode_labels(row, plan.digest) for row in labels))
    write_ledger(store, plan)
    scales.writing("ledger")
    written = write_outputs(store, plan, registry=registry, watch=scales).written
    scales.writing("report")
    assert [Path(path).name for path in written] == ["labels.jsonl", "annotations.json", "index.html"]
    assert sum(1 for _ in read_labels(tmp_path / "run")) == images
    assert max(scales.sizes) - before < 60 * MIB


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_million_images(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import scale

    with capsys.disabled():
        phases = scale.main(1_000_000)
    assert max(phase["mb"] for phase in phases.values()) < 1000


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_images(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    growth, planning = weigh(registry, tmp_path, 100_000)
    with capsys.disabled():
        print(f"\n100,000 images: {growth / MIB:.1f} MiB after warm-up, {planning / MIB:.1f} MiB for planning")  # noqa: T201
    assert growth < 50 * MIB
