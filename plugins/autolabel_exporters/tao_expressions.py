"""The records that TAO's ``image_referring_expression`` writes: an image a line, with its regions and expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from autolabel.types import Labels
from autolabel_exporters.json_stream import to_json
from autolabel_exporters.rows import ExportedObject, exported_objects

_NAME = "annotations.jsonl"
_DENIED = 0.5
"""An expression counts as verified from this verdict on."""


def write_expressions(labels: Iterable[Labels], out: Path) -> Path:
    """Write ``annotations.jsonl`` into a folder, and return its path; images that failed are left out.

    The fields are TAO's. ``image_id`` is the whole relative path without its extension, so that images of the same name
    in two folders stay apart. Boxes with the same expression are the instances of one.
    """
    path = out / _NAME
    numbers, boxes = count(), count()
    with path.open("wb") as file:
        for row in labels:
            if row.reason is None:
                file.write(to_json(_record(row, numbers, boxes)) + b"\n")
    return path


def _record(row: Labels, numbers: Iterator[int], boxes: Iterator[int]) -> dict[str, Any]:
    """Return the record of an image; boxes are ``x1 y1 x2 y2`` pixels."""
    height, width = row.image.size
    found = list(exported_objects(row))
    told: dict[str, list[ExportedObject]] = {}
    for one in found:
        if one.expression is not None:
            told.setdefault(one.expression, []).append(one)
    return {
        "image_id": str(PurePosixPath(row.image.id).with_suffix("")),
        "image_path": row.image.id,
        "width": width,
        "height": height,
        "regions": [{"bbox": one.box, "type": one.phrase, "description": one.expression or ""} for one in found],
        "expressions": [_expression(text, same, next(numbers), boxes) for text, same in told.items()],
        "source": "image_referring_expression",
    }


def _expression(text: str, same: list[ExportedObject], number: int, boxes: Iterator[int]) -> dict[str, Any]:
    """Return an expression with its boxes; ``verified`` is there if a verifier was asked."""
    instances = [{"bbox": one.box, "bbox_score": one.score, "bbox_id": f"box_{next(boxes):05d}"} for one in same]
    verdicts = [one.verdict for one in same if one.verdict is not None]
    verified = {"verified": min(verdicts) >= _DENIED} if verdicts else {}
    return {"text": text, "instances": instances, "expression_id": f"expr_{number:05d}", **verified}
