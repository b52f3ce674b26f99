"""Photos of yellow lamps, which a spec asks for as red, beside blue doors, with their truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.specs import make_spec

IMAGES = 16


def draw(folder: Path) -> None:
    """Draw photos of which every second one has no lamp; write the truth and the spec."""
    from autolabel_colors import Rectangle, save

    categories = [{"id": 1, "name": "lamp"}, {"id": 2, "name": "door"}]
    truth: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": categories}
    for number in range(IMAGES):
        name, lamp = f"{number:02}.png", number % 2 == 0
        drawn = [Rectangle(30, 30, 60, 60, "blue", 0.8), Rectangle(2, 40, 12, 50, "green", 0.7)]
        drawn += [Rectangle(2, 2, 22, 22, "yellow", 0.9)] if lamp else []
        drawn += [Rectangle(40, 2, 60, 12, "red", 0.8)] if number % 4 == 1 else []
        save(folder / "photos" / name, drawn)
        truth["images"].append({"id": number, "file_name": name, "height": 64, "width": 64})
        for category, box in ((1, [2, 2, 20, 20]), (2, [30, 30, 30, 30])):
            if category == 2 or lamp:
                key = {"id": 10 * number + category, "image_id": number, "category_id": category}
                truth["annotations"].append({**key, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    (folder / "truth.json").write_text(json.dumps(truth))
    write(folder)


def write(folder: Path, **changes: Any) -> Path:
    """Write the spec, with some of it changed; return its file."""
    data = {"classes": {"lamp": ["red"], "door": {"phrases": ["blue"], "negatives": ["cyan"]}}}
    spec = make_spec("photos", folder / "run", data=data | changes.pop("data", {}), export=[]) | changes
    (folder / "spec.yaml").write_text(json.dumps(spec))
    return folder / "spec.yaml"
