"""The recipe for FiftyOne gives it what it asks for; FiftyOne itself needs a MongoDB server."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autolabel.types import Image, Instances, Labels, Prompt
from tests.docs.pages import ROOT, blocks

LABELS = Labels(
    image=Image(id="a/one.png", path="", size=(100, 200)),
    prompt=Prompt(("red", "blue")),
    instances=Instances.build([[20, 10, 60, 60], [0, 0, 200, 100]], scores=[0.5, 1], labels=[1, 0]),
)


class Dataset:
    """Stands for a FiftyOne data set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples: list[Any] = []

    def add_samples(self, samples: list[Any]) -> None:
        self.samples += samples


def test_fiftyone_gets_shares_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [one for one in blocks(ROOT / "docs" / "python.md") if "needs fiftyone" in one.about]
    stand_in: Any = ModuleType("fiftyone")
    stand_in.Detection = stand_in.Detections = stand_in.Sample = SimpleNamespace
    stand_in.Dataset = Dataset
    monkeypatch.setitem(sys.modules, "fiftyone", stand_in)
    names: dict[str, Any] = {"np": np, "read_labels": lambda run: [LABELS]}
    exec(block.text, names)
    [sample] = names["dataset"].samples
    assert Path(sample.filepath) == Path("images/a/one.png").absolute()
    first, second = sample.autolabel.detections
    assert (first.label, first.confidence, second.label) == ("blue", 0.5, "red")
    assert first.bounding_box == pytest.approx([0.1, 0.1, 0.2, 0.5])
    assert second.bounding_box == [0, 0, 1, 1]
