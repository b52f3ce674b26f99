"""Parse the objects of an answer in any wrapping; complete objects are kept, truncated ones counted."""

from __future__ import annotations

import ast
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

BOX = ("bbox_2d", "bbox", "box_2d", "box")
LABEL = ("label", "phrase", "category", "class", "name")
_SCORE = ("score", "confidence")
MOST = 200_000
"""Characters of an answer that are read."""
_MOST_HOLLOW = 300
"""Braces without an object after which the rest is not read."""
_decoder = json.JSONDecoder(strict=False)
_NOTHING = re.compile(r"\[\s*\]")
FLAT = re.compile(r"\{[^{}]*\}")
_THOUGHT = re.compile(r".*</think(?:ing)?>", re.S)


@dataclass(frozen=True, slots=True)
class Found:
    """One object of an answer."""

    box: tuple[float, float, float, float]
    """The box as the model wrote it."""
    label: str
    """The label; empty if the model wrote none."""
    score: float | None
    """The score that the model wrote, in [0, 1]; None if it wrote none."""
    start: int
    end: int
    """The end of the object in the answer."""


@dataclass(slots=True)
class Read:
    """The objects read from an answer."""

    objects: list[Found] = field(default_factory=list)
    cut: bool = False
    """Whether the answer ends within an object."""
    unreadable: int = 0
    """Objects without four finite numbers."""
    nothing: bool = False
    """Whether it says that there is none."""
    hollow: int = 0
    """Braces that begin no whole object."""

    @property
    def whole(self) -> bool:
        """Whether the answer is complete."""
        return not self.cut and not self.unreadable and (bool(self.objects) or self.nothing)


def read(text: str, *, cut: bool = False) -> Read:
    """Return the objects in an answer; ``cut`` states that it was truncated at the length limit."""
    out = Read(cut=cut or len(text) > MOST)
    thought = _THOUGHT.match(text)
    begin = thought.end() if thought else 0
    text = text[:MOST]
    if (brace := text.find("{", begin)) < 0 or not _walk(text, brace, len(text), out):
        out.nothing = not out.objects and not out.unreadable and _NOTHING.search(text, begin) is not None
    return out


def after_thought(text: str) -> str:
    """Return an answer without a preceding reasoning section."""
    thought = _THOUGHT.match(text)
    return text[thought.end() :] if thought else text


def _walk(text: str, begin: int, end: int, out: Read) -> bool:
    """Parse the objects between two offsets; return whether any brace looked like one."""
    spoke = False
    place = text.find("{", begin, end)
    while 0 <= place < end and out.hollow < _MOST_HOLLOW:
        value, stop = _object(text, place)
        if value is None:
            place, told = _skip(text, place, end, out)
            spoke |= told
            continue
        if (box := _first(value, BOX)) is not None:
            _take(value, box, place, stop, out)
            spoke = True
        elif not _walk(text, place + 1, stop, out) and not _hollow(value):
            out.unreadable += 1
            spoke = True
        else:
            spoke |= not _hollow(value)
        place = text.find("{", stop, end)
    return spoke


def _object(text: str, place: int) -> tuple[dict[str, Any] | None, int]:
    """Parse the JSON or Python mapping that begins at a brace; return it and its end, None if invalid."""
    try:
        value, stop = _decoder.raw_decode(text, place)
        return (value, stop) if isinstance(value, dict) else (None, place)
    except (ValueError, RecursionError):
        pass
    flat = FLAT.match(text, place)
    if flat is None:
        return None, place
    value = python_mapping(flat[0])
    return (None, place) if value is None else (value, flat.end())


def python_mapping(text: str) -> dict[str, Any] | None:
    """Return the mapping that a text writes as Python does; None if it writes none."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _skip(text: str, place: int, end: int, out: Read) -> tuple[int, bool]:
    """Skip a brace without a complete object; return the next brace, and whether this was an object."""
    out.hollow += 1
    after = text.find("{", place + 1, end)
    closed = text.find("}", place + 1, end)
    if closed >= 0 and (after < 0 or closed < after):
        out.unreadable += 1
        return after, True
    if after < 0:
        out.cut = True
        return after, True
    return after, False


def _first(value: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def _take(value: dict[str, Any], box: Any, start: int, stop: int, out: Read) -> None:
    numbers = [_number(one) for one in box] if isinstance(box, list | tuple) else []
    label = _first(value, LABEL)
    if len(numbers) != 4 or None in numbers or not isinstance(label, str | None):
        out.unreadable += 1
        return
    score = _number(_first(value, _SCORE))
    x1, y1, x2, y2 = (number for number in numbers if number is not None)
    said = score if score is not None and 0 <= score <= 1 else None
    out.objects.append(Found((x1, y1, x2, y2), label or "", said, start, stop))


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _hollow(value: Any) -> bool:
    """Return whether a mapping explicitly states that there are no objects: ``{"objects": []}``."""
    return isinstance(value, dict) and all(inner in ([], {}, None, "") for inner in value.values())
