"""Runs and truth files that are small enough to count by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from autolabel.types import Image, Instances, Labels, Prompt, Reason

SIZE = (100, 200)


@pytest.fixture
def row() -> Callable[..., Labels]:
    """Make a row; boxes are ``x1 y1 x2 y2``."""

    def make(image_id: str, boxes: Sequence[Sequence[float]] = (), **more: Any) -> Labels:
        n = len(boxes)
        return Labels(
            image=Image(id=image_id, path=image_id, size=more.get("size", SIZE)),
            prompt=Prompt(tuple(more.get("phrases", ("cat", "dog")))),
            instances=Instances.build(
                boxes,
                scores=more.get("scores", [0.9 - 0.1 * i for i in range(n)]),
                labels=more.get("labels", [0] * n),
                rounds=more.get("rounds", 0),
                masks=more.get("masks"),
                given=more.get("given"),
            ),
            reason=Reason(code="missing", message="no such file") if more.get("failed") else None,
        )

    return make


@pytest.fixture
def truth(tmp_path: Path) -> Callable[..., Path]:
    """Write a COCO file from ``{file name: [(category, box x1 y1 x2 y2, extra fields)]}``."""

    def write(images: dict[str, list[tuple[Any, ...]]], names: Sequence[str] = ("cat", "dog"), **more: Any) -> Path:
        height, width = more.get("size", SIZE)
        data: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
        data["categories"] = [{"id": 10 * number, "name": name} for number, name in enumerate(names, 1)]
        for number, (file_name, objects) in enumerate(images.items(), 1):
            data["images"].append({"id": number, "file_name": file_name, "height": height, "width": width})
            for name, (x1, y1, x2, y2), *extra in objects:
                record = {
                    "id": len(data["annotations"]) + 1,
                    "image_id": number,
                    "category_id": 10 * (list(names).index(name) + 1),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                    "area": (x2 - x1) * (y2 - y1),
                }
                data["annotations"].append(record | (extra[0] if extra else {}))
        path = tmp_path / "truth.json"
        path.write_text(json.dumps(data))
        return path

    return write
