"""supervision gets boxes, scores, classes, masks and support."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autolabel.integrations.supervision import to_supervision
from autolabel.types import Image, Instances, Labels, Prompt, Rle
from autolabel.types.instances import Support

MASK = np.zeros((10, 20), bool)
MASK[2:6, 3:9] = True


def labels(**columns: Any) -> Labels:
    found = Instances.build([[3, 2, 9, 6], [0, 0, 20, 10]], scores=[0.75, 0.5], labels=[1, 0], rounds=[0, 2], **columns)
    return Labels(image=Image(id="a.png", path="", size=(10, 20)), prompt=Prompt(("red", "blue")), instances=found)


@pytest.fixture(params=["real", "stand-in"])
def supervision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "real":
        pytest.importorskip("supervision")
        return
    stand_in: Any = ModuleType("supervision")
    stand_in.Detections = SimpleNamespace
    monkeypatch.setitem(sys.modules, "supervision", stand_in)


@pytest.mark.usefixtures("supervision")
def test_all_that_is_known_of_an_object_arrives() -> None:
    seen = (Support(looks=2, labelers=1, asked=3), Support(looks=3, labelers=1, asked=3))
    found = to_supervision(labels(masks=[Rle.encode(MASK), None], support=seen))
    assert found.xyxy.tolist() == [[3, 2, 9, 6], [0, 0, 20, 10]] and found.xyxy.dtype == np.float32
    assert found.confidence.tolist() == [0.75, 0.5] and found.class_id.tolist() == [1, 0]
    assert found.data["class_name"].tolist() == ["blue", "red"] and found.data["round"].tolist() == [0, 2]
    assert found.data["looks"].tolist() == [2, 3] and found.data["looks_asked"].tolist() == [3, 3]
    assert np.array_equal(found.mask, np.stack([MASK, np.zeros_like(MASK)]))


@pytest.mark.usefixtures("supervision")
def test_an_image_without_masks_or_objects() -> None:
    assert to_supervision(labels()).mask is None
    nothing = Labels(
        image=Image(id="a.png", path="", size=(10, 20)), prompt=Prompt(("red",)), instances=Instances.empty()
    )
    found = to_supervision(nothing)
    assert found.xyxy.shape == (0, 4) and found.class_id.shape == (0,) and len(found.data["class_name"]) == 0
