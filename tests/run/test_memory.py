"""A run's memory does not grow with the number of images that it labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from autolabel.plan.compile import compile_plan
from autolabel.plan.model import Plan, Stage
from autolabel.registry import Registry
from autolabel.run.generate import generate
from autolabel.run.watch import Watch
from autolabel.run.work import Done
from autolabel.spec.load import spec_from_mapping

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


def weigh(registry: Registry, folder: Path, images: int) -> tuple[int, int]:
    """Label that many links to one picture; return the growth after warm-up and that before the first image."""
    from autolabel_colors import save

    for index in range(images):
        inside = folder / "photos" / f"{index // 1000:04d}"
        if index % 1000 == 0:  # file systems allow a file so many links
            first = save(inside / f"{index:07d}.png", [(1, 2, 9, 9, "red")], size=(16, 16))
        else:
            os.link(first, inside / f"{index:07d}.png")
    spec: dict[str, Any] = {
        "version": 1,
        "data": {"images": [str(folder / "photos")], "classes": ["red"]},
        "stages": [{"labeler": {"type": "colors"}}],
        "devices": "cpu",
        "run": {"executor": "inline", "num_workers": 1, "shard_size": 256},
        "report": False,
        "results_dir": str(folder / "run"),
    }
    scales = Scales(warm=min(1000, images // 2))
    before = scales.weight()
    compiled = compile_plan(spec_from_mapping(spec, root=folder, registry=registry), registry=registry)
    summary = generate(compiled, registry=registry, watch=scales)
    assert summary.states["labelled"] == images
    return max(scales.sizes) - scales.sizes[0], scales.started - before


def test_two_thousand_images(registry: Registry, tmp_path: Path) -> None:
    growth, _ = weigh(registry, tmp_path, 2000)
    assert growth < 20 * MIB


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_thousand_images(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    growth, planning = weigh(registry, tmp_path, 100_000)
    with capsys.disabled():
        print(f"\n100,000 images: {growth / MIB:.1f} MiB after warm-up, {planning / MIB:.1f} MiB for planning")  # noqa: T201
    assert growth < 50 * MIB
