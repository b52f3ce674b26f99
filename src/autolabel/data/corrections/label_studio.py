"""Label Studio's JSON export: tasks with annotations, or the same without the wrapping (JSON_MIN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import cos, radians, sin
from typing import Any

import numpy as np

from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape, ring
from autolabel.errors import Problem
from autolabel.types import Rle, Size

_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
_PLACES = ("x", "points", "rle", "radiusX", "vertices")
"""Keys of a region that is drawn on an image."""
_CHANNELS = 4
_MOST_BYTES = 1 << 26
"""The most bytes of a brush's packed runs."""


def is_label_studio(value: Any) -> bool:
    """Return whether a JSON value looks like tasks of Label Studio."""
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return "annotations" in value[0] or "completions" in value[0] or any(map(_is_regions, value[0].values()))


def read_label_studio(tasks: Sequence[Any], *, file: str = "") -> Corrections:
    """Return the last annotation of each task that was not cancelled; tasks without one are skipped."""
    images: list[DrawnImage] = []
    problems: list[Problem] = []
    untouched = 0
    for number, task in enumerate(tasks):
        if not isinstance(task, Mapping):
            problems.append(Problem(file=file, path=f"/{number}", message="is not a task"))
            continue
        name, regions = _task(task)
        if regions is None:
            untouched += 1
            continue
        if name is None:
            problems.append(Problem(file=file, path=f"/{number}", message="is annotated, but names no image"))
            continue
        images.append(_drawn(name, regions, place=f"/{number}"))
    notes = [f"{untouched} task(s) have no annotation"] if untouched else []
    return Corrections(tool="Label Studio", images=images, notes=notes, problems=problems)


def _task(task: Mapping[str, Any]) -> tuple[str | None, list[Any] | None]:
    """Return the image of a task and its regions, None if it has no annotation."""
    said = task.get("annotations", task.get("completions"))
    if isinstance(said, list):
        done = [one for one in said if isinstance(one, Mapping) and not one.get("was_cancelled")]
        last = max(reversed(done), key=lambda one: str(one.get("updated_at") or ""), default=None)
        data = task.get("data")
        regions = last.get("result") if last is not None else None
        return _image(data if isinstance(data, Mapping) else {}), regions if isinstance(regions, list) else None
    lists = [one for one in task.values() if _is_regions(one)]
    return _image(task), [region for one in lists for region in one] if lists or "image" in task else None


def _image(data: Mapping[str, Any]) -> str | None:
    """Return the first field that names a file, ``image`` if present."""
    named = data.get("image")
    if isinstance(named, str) and named:
        return named
    texts = (text for key, text in data.items() if isinstance(text, str) and "." in text.rpartition("/")[2])
    return next(texts, None)


def _is_regions(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and any(str(name).endswith("labels") for name in one) for one in value)
    )


def _size(regions: Sequence[Any]) -> Size | None:
    for region in regions:
        if isinstance(region, Mapping):
            height, width = region.get("original_height"), region.get("original_width")
            if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
                return height, width
    return None


def _drawn(name: str, regions: Sequence[Any], *, place: str) -> DrawnImage:
    """Return the image of an annotation; results with the same region id (shape and label) are joined."""
    by_id: dict[str, dict[str, Any]] = {}
    shapes: list[Shape] = []
    unread: list[str] = []
    for number, region in enumerate(regions):
        value = region.get("value", region) if isinstance(region, Mapping) else None
        if not isinstance(value, Mapping):
            unread.append(f"{place} region #{number}: not a region")
        elif region.get("type") != "relation":
            by_id.setdefault(str(region.get("id", f"#{number}")), {}).update(value)
    for region_id, value in by_id.items():
        at = f"{place} region {region_id[:80]}"
        base = region_id.partition("-")[0]
        group = base if base.isdecimal() else None  # ours: further regions of an object
        try:
            shapes += _shape(value, group=group, place=at)
        except (TypeError, ValueError, ArithmeticError) as error:
            unread.append(f"{at}: {error}")
    return DrawnImage(name=name, size=_size(regions), shapes=shapes, unread=unread)


def _shape(value: Mapping[str, Any], *, group: str | None, place: str) -> list[Shape]:
    """Return the shape of a region, None if it is about the whole image; raises ValueError for unsupported kinds.

    Choices, ratings and texts without a position are about the whole image.
    """
    labels = {key: said for key, said in value.items() if str(key).endswith("labels") and said}
    if not labels and not any(key in value for key in _PLACES):
        return []
    if unknown := [key for key in labels if key not in _LABELS]:
        raise ValueError(f"{str(unknown[0])[:40]!r} cannot be read, only {', '.join(_LABELS)}")
    phrase = next((said[0] for said in labels.values() if isinstance(said, list)), None)
    if not isinstance(phrase, str):
        raise ValueError("its label is not a text")
    make = partial(Shape, phrase=phrase, group=group, place=place)
    if isinstance(runs := value.get("rle"), list):
        return [make(kind="mask", mask=partial(unpack_brush, runs))]
    if isinstance(points := value.get("points"), list):
        return [make(kind="polygon", points=_corners(points), unit="percent")]
    if all(_is_number(value.get(key)) for key in ("x", "y", "radiusX", "radiusY")):
        if value.get("rotation"):
            raise ValueError("a rotated ellipse cannot be read: draw a polygon")
        return [make(kind="polygon", points=_ellipse(value), unit="percent")]
    if all(_is_number(value.get(key)) for key in ("x", "y", "width", "height")):
        return [make(kind="box", points=_rectangle(value), unit="percent")]
    raise ValueError(
        "its position cannot be read: wanted numbers x, y, width, height (or radiusX, radiusY), points, or rle"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ellipse(value: Mapping[str, Any]) -> list[tuple[float, float]]:
    return ring((float(value["x"]), float(value["y"])), (float(value["radiusX"]), float(value["radiusY"])))


def _corners(points: Sequence[Any]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _rectangle(value: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return the corners in percent of a rectangle, which may be rotated about its first corner.

    Percents of width and height are different lengths, so a rotated rectangle is exact only in a square image.
    """
    x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
    angle = radians(float(value.get("rotation") or 0))
    sides = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return [(x + dx * cos(angle) - dy * sin(angle), y + dx * sin(angle) + dy * cos(angle)) for dx, dy in sides]


def unpack_brush(runs: Sequence[Any], size: Size) -> Rle:
    """Return the mask of a brush: RGBA rows packed with thi.ng/rle-pack; alpha is the mask.

    Raises ValueError if the bytes are invalid, or of an image of another size.
    """
    if len(runs) > _MOST_BYTES or not all(type(one) is int and 0 <= one < 256 for one in runs):
        raise ValueError("a brush must be a list of bytes")
    bits = _Bits(bytes(runs))
    count, word = bits.take(32), bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    if count != size[0] * size[1] * _CHANNELS or word > 8:
        raise ValueError(f"a brush of {count // _CHANNELS} pixels does not fit an image of {size[1]}x{size[0]}")
    values: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    done = 0
    while done < count:
        repeated = bits.take(1)
        length = bits.take(lengths[bits.take(2)]) + 1
        if repeated:
            values.append(np.full(length, bits.take(word), np.uint8))
        else:
            values.append(np.array([bits.take(word) for _ in range(length)], np.uint8))
        done += length
        if length > count:
            raise ValueError("a run of a brush is longer than the image")
    pixels = np.concatenate(values)[:count].reshape(size[0], size[1], _CHANNELS)
    return Rle.encode(pixels[:, :, 3] > 127)


class _Bits:
    """Reads integers from bytes, bit by bit."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._place = 0

    def take(self, count: int) -> int:
        """Return the next bits as a number; raises ValueError at the end."""
        start, end = self._place, self._place + count
        first, last = start // 8, -(-end // 8)
        if last > len(self._packed):
            raise ValueError("a brush is cut off")
        self._place = end
        whole = int.from_bytes(self._packed[first:last])
        return whole >> (8 * last - end) & ((1 << count) - 1)
