"""Collect the faults of a JSON file with their JSON pointers."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from autolabel.errors import DataError, Problem

_MAX_PROBLEMS = 50
_LONGEST_VALUE = 60
_PLACE = re.compile(r"(?P<message>.*?)(?: - at `(?P<key>key in )?\$?(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_MISSING = re.compile(r"Object missing required field `(.*)`")
_EXPECTED = re.compile(r"Expected `(.*?)`(?: (>=|<=|of length(?: >=)?) (\S+?))?(?:, got .*)?")
WORDS = {"int": "an integer", "float": "a number", "str": "text", "array": "a list", "object": "an object"}


class Faults:
    """Problems of one file, up to a limit."""

    def __init__(self, file: str, limit: int = _MAX_PROBLEMS) -> None:
        self.file = file
        self.limit = limit
        self.problems: list[Problem] = []
        self.left_out: list[Problem] = []
        """Faults of entries that were left out or repaired, up to the limit."""
        self.skipped = 0
        """Entries that are left out."""

    def add(self, pointer: str, message: str, *, hint: str = "") -> None:
        """Record a problem; raises DataError with all of them once the limit is reached."""
        self.problems.append(Problem(file=self.file, path=pointer, message=message, hint=hint))
        if len(self.problems) >= self.limit:
            self.stop()

    def skip(self, pointer: str, message: str) -> None:
        """Record that an entry is left out, and why."""
        self.skipped += 1
        self.remark(pointer, message)

    def remark(self, pointer: str, message: str) -> None:
        """Record a repair, or a harmless fault."""
        if len(self.left_out) < self.limit:
            self.left_out.append(Problem(file=self.file, path=pointer, message=message))

    def stop(self) -> None:
        """Raise DataError if there is any problem."""
        if self.problems:
            raise DataError(self.problems)


def translate(error: msgspec.DecodeError, raw: Any) -> tuple[str, str]:
    """Return the pointer below ``raw``, a JSON text, and the message for an error of msgspec."""
    match = _PLACE.fullmatch(str(error))
    assert match is not None
    steps = [name or int(number or 0) for name, number in _STEP.findall(match["path"] or "")]
    pointer = "".join(f"/{step}" for step in steps)
    if missing := _MISSING.fullmatch(match["message"]):
        return pointer, f"{missing[1]!r} is missing"
    if not isinstance(error, msgspec.ValidationError):
        return pointer, str(error)
    return pointer, f"{_wanted(match['message'], pointer)}, got {_shown(raw, steps)}"


def _wanted(message: str, pointer: str) -> str:
    """Return the expected type, in words, from msgspec's message."""
    if "out of range" in message:
        return "must be a finite number"
    match = _EXPECTED.fullmatch(message)
    if match is None:
        return message[:1].lower() + message[1:]
    if pointer.endswith(("/bbox/2", "/bbox/3")) and match[2] == ">=":
        side = "width" if pointer.endswith("2") else "height"
        return f"reversed box: its {side} must not be negative"
    kinds = " or ".join(WORDS.get(kind.strip(), kind.strip()) for kind in match[1].split("|"))
    limit = {"of length": "of", ">=": "of at least", "of length >=": "of at least", "<=": "of at most"}
    return f"must be {kinds} {limit[match[2]]} {match[3]}" if match[2] else f"must be {kinds}"


def _shown(raw: Any, steps: list[str | int]) -> str:
    """Return the value at a pointer of a JSON text, truncated to a readable length."""
    try:
        value = json.loads(bytes(raw))
        for step in steps:
            value = value[step]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "something unreadable"
    quoted = isinstance(value, str) and value[1:] in NOT_FINITE and value[0] == MARK
    text = value[1:] if quoted else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


MARK = "\0"
"""The marker of values that ``quote_not_finite`` quotes."""
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""Python's texts for numbers that JSON does not have."""
_NOT_FINITE = re.compile(rb"(?<=[\[:,\s])(NaN|-?Infinity)(?=[\],}\s])")


_HALF = re.compile(
    rb"(\\\\)|(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""An escaped backslash, a surrogate pair, half of one."""


def whole_characters(text: bytes) -> bytes:
    """Return JSON text with lone surrogates replaced by U+FFFD."""
    return _HALF.sub(lambda found: b"\\ufffd" if found[3] else found[0], text)


def quote_not_finite(data: memoryview) -> bytes:
    """Return JSON text with NaN and infinities replaced by marked strings, which can be parsed and reported."""
    return _NOT_FINITE.sub(rb'"\\u0000\1"', bytes(data))
