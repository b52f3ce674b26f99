"""Repair entries of a COCO file that deviate from the format unambiguously."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from autolabel.data.coco.faults import MARK, NOT_FINITE, WORDS

_LONGEST_VALUE = 60
_LARGEST = 2**63
_LARGEST_NUMBER = 1.7e308
_MOST_LEVELS = 100


def plain_json(raw: Any) -> tuple[Any, list[str]]:
    """Parse a JSON text; values that JSON cannot represent (NaN, huge integers) become null, with remarks."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        try:
            value = json.loads(bytes(raw))
        except (ValueError, RecursionError) as error:
            raise ValueError(f": cannot be read: {error}") from error
    remarks: list[str] = []
    return carried(value, "", remarks), remarks


def carried(value: Any, place: str, remarks: list[str], level: int = 0) -> Any:
    """Return a value that JSON can represent; ``remarks`` collects the values that became null."""
    if isinstance(value, str):
        if value[:1] == MARK and value[1:] in NOT_FINITE:
            remarks.append(f"{place}: {value[1:]} is not JSON and becomes null")
            return None
        return value if value.isascii() or _is_text(value) else value.encode(errors="replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else _dropped(value, place, remarks)
    if isinstance(value, int):
        return value if -_LARGEST <= value < 2 * _LARGEST else _dropped(value, place, remarks)
    if level > _MOST_LEVELS:
        return _dropped("nested too deeply", place, remarks)
    if isinstance(value, dict):
        return {name: carried(item, f"{place}/{name}", remarks, level + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [carried(item, f"{place}/{index}", remarks, level + 1) for index, item in enumerate(value)]
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _dropped(value: Any, place: str, remarks: list[str]) -> None:
    remarks.append(f"{place}: {str(value)[:_LONGEST_VALUE]} cannot be kept and becomes null")


def as_id(value: Any) -> int | None:
    """Return an id given as an integer, an integral float or digits; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        value = int(value)
    return value if isinstance(value, int) and -_LARGEST <= value < _LARGEST else None


def as_side(value: Any) -> int | None:
    """Return a side of an image in pixels; None for -1, 0, text and fractions."""
    side = as_id(value)
    return side if side is not None and side >= 1 else None


def repaired(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an annotation's COCO fields with integer ids, without an invalid area.

    Raises ValueError, with a pointer before its colon, if a required field is missing or invalid.
    """
    known: dict[str, Any] = {"id": as_id(fields.get("id")), "segmentation": fields.get("segmentation")}
    for name in ("image_id", "category_id"):
        if name not in fields:
            raise ValueError(f": {name!r} is missing")
        if (number := as_id(fields[name])) is None:
            raise ValueError(f"/{name}: must be {WORDS['int']}, got {shown_value(fields[name])}")
        known[name] = number
    known["bbox"] = _box(fields)
    crowd = fields.get("iscrowd") or 0
    if as_id(int(crowd) if isinstance(crowd, bool) else crowd) not in (0, 1):
        raise ValueError(f"/iscrowd: must be 0 or 1, got {shown_value(crowd)}")
    known["iscrowd"] = as_id(int(crowd) if isinstance(crowd, bool) else crowd)
    area = fields.get("area")
    known["area"] = area if isinstance(area, int | float) and not isinstance(area, bool) and area >= 0 else None
    return known


def _box(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    box = fields.get("bbox")
    if "bbox" not in fields:
        raise ValueError(": 'bbox' is missing")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"/bbox: must be a list of 4 numbers, got {shown_value(box)}")
    for index, value in enumerate(box):
        finite = isinstance(value, int | float) and -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER
        if isinstance(value, bool) or not finite:
            raise ValueError(f"/bbox/{index}: must be a finite number, got {shown_value(value)}")
    for index, side in ((2, "width"), (3, "height")):
        if box[index] < 0:
            raise ValueError(
                f"/bbox/{index}: reversed box: its {side} must not be negative, got {shown_value(box[index])}"
            )
    return tuple(float(value) for value in box)


def shown_value(value: Any) -> str:
    """Return a value truncated to a readable length."""
    marked = isinstance(value, str) and value[:1] == MARK and value[1:] in NOT_FINITE
    text = value[1:] if marked else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
