"""The data model of decisions, in ``review.json`` and in journal lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from autolabel.errors import DataError, Problem
from autolabel.results.chain import sum_of
from autolabel.storage import Location, at
from autolabel.types import GIVEN, Labels, Rle, Size

VERSION = 2
"""Written into every review. Version 1, which says no version, is read as well."""
MOST_PROBLEMS = 20
MOST_BYTES = 1 << 30
"""The most bytes of a review."""

Verdict = Literal["keep", "reject", "checked", "forget"]
_Coordinate = Annotated[float, Field(ge=0, le=1e9)]
Corners = tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]
_Score = Annotated[float, Field(ge=0, le=1)]
_FoundIn = Annotated[int, Field(ge=GIVEN, le=32767)]
Name = Annotated[str, Field(min_length=1)]
Row = tuple[str, int]
"""An image and its caption index."""
Key = tuple[str, Corners] | None
"""The subject of a decision in its row: a box by class and place in the labels, or None for the whole row."""

_SUMMED = re.compile(rb'(.*),\n "sum": "([0-9a-f]*)"\n\}\n', re.DOTALL)
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Mask(BaseModel):
    """A mask of the whole image as COCO's compressed RLE."""

    model_config = _STRICT

    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """(height, width) of the image."""
    counts: str

    @model_validator(mode="after")
    def _check_runs(self) -> Mask:
        Rle.from_coco({"size": list(self.size), "counts": self.counts}, self.size)
        return self

    def rle(self, size: Size) -> Rle | None:
        """Return the mask for an image of ``size`` (height, width), None if its size differs."""
        return Rle(self.size, self.counts) if self.size == size else None


class Becomes(BaseModel):
    """The changes of a kept box; absent fields do not change."""

    model_config = _STRICT

    bbox: Corners | None = None
    """The place it was moved to. Its mask goes, unless ``mask`` gives another."""
    phrase: Name | None = None
    """The class it was given."""
    mask: Mask | Literal["none"] | None = None
    """The mask that was accepted or drawn; ``"none"`` where its mask was rejected."""

    @model_validator(mode="after")
    def _check_box(self) -> Becomes:
        _check_corners(self.bbox)
        return self


class Decision(BaseModel):
    """A person's decision about one box, or (``bbox`` and ``phrase`` null) about a whole row."""

    model_config = _STRICT

    image: Name
    caption_index: Annotated[int, Field(ge=0)] = 0
    bbox: Corners | None = None
    """``x1 y1 x2 y2`` in pixels, as in ``labels.jsonl``; of a box that a person drew, the place it was drawn at."""
    phrase: str | None = None
    score: _Score | None = None
    round: _FoundIn | None = None
    verdict: Verdict
    """Of a box ``keep`` or ``reject``; of a row ``checked`` (it has the kept boxes and no others; ``keep`` is the same)
    or ``reject`` (it is left out). ``forget`` takes an earlier decision back."""
    becomes: Becomes | None = None
    reviewer: str | None = None
    time: str | None = None
    """ISO 8601, UTC."""

    @model_validator(mode="after")
    def check_box(self) -> Decision:
        """Refuse a box without phrase, a phrase without box, a reversed box, and a change of a rejected box."""
        if (self.bbox is None) != (self.phrase is None):
            raise ValueError("bbox and phrase go together: both for a box, neither for a whole image")
        _check_corners(self.bbox)
        if self.verdict == "checked" and self.bbox is not None:
            raise ValueError("only a whole image can be checked; a box is kept or rejected")
        if self.becomes is not None and (self.verdict != "keep" or self.bbox is None):
            raise ValueError("only a kept box can have 'becomes'")
        return self

    @property
    def row(self) -> Row:
        """The row it speaks of."""
        return self.image, self.caption_index

    @property
    def key(self) -> Key:
        """The key of the decision in its row."""
        return None if self.bbox is None or self.phrase is None else (self.phrase, self.bbox)

    @property
    def place(self) -> Corners:
        """The final place of the box; all 0 for a whole row."""
        moved = self.becomes.bbox if self.becomes else None
        return moved or self.bbox or (0.0, 0.0, 0.0, 0.0)

    @property
    def final_phrase(self) -> str:
        """The class that the box ends up with; empty for a whole row."""
        changed = self.becomes.phrase if self.becomes else None
        return changed or self.phrase or ""


class Review(BaseModel):
    """Decisions about one run's labels: a whole ``review.json``, or one action in the journal."""

    model_config = _STRICT

    version: Literal[1, 2] = 1
    plan: str
    """The digest of the plan whose labels the person saw; decisions hold for other plans too."""
    id: str | None = None
    """Names an action, so that one that is sent twice counts once."""
    time: str | None = None
    """ISO 8601, UTC."""
    reviewer: str | None = None
    source: str | None = None
    """The source of an action: a tab of the review page, or the file that was applied."""
    undoes: str | None = None
    """The action that this one takes back."""
    follows: str | None = None
    """The action that this one completes: both are undone together."""
    journal: Annotated[int, Field(ge=0)] | None = None
    """In a run's own ``review.json``: the bytes of the journal that it includes."""
    after: str | None = None
    """The sum of the line before, in the journal; in ``review.json``, of the last line that it holds."""
    decisions: tuple[Decision, ...] = ()
    replaces: tuple[Decision, ...] | None = None
    """For an action of the review page: the earlier decisions about its boxes, for undo."""
    sum: str | None = None
    """In a run's own files: 32 hex digits of the SHA-256 of the text up to here."""

    @cached_property
    def by_row(self) -> dict[Row, list[Decision]]:
        """The decisions of each row (image, caption index), in order."""
        out: dict[Row, list[Decision]] = {}
        for decision in self.decisions:
            out.setdefault(decision.row, []).append(decision)
        return out

    def boxes(self, labels: Labels) -> list[Decision]:
        """Return the decisions about single boxes of a row."""
        return [one for one in self.by_row.get(row_of(labels), ()) if one.bbox is not None]

    def whole(self, labels: Labels) -> Verdict | None:
        """Return the decision about a whole row, if there is one."""
        return next((one.verdict for one in self.by_row.get(row_of(labels), ()) if one.bbox is None), None)


def row_of(labels: Labels) -> Row:
    """Return a row's name."""
    return labels.image.id, labels.caption_index


def read_review(path: str | Location) -> Review:
    """Read a review as it is written, ``forget`` included.

    Raises DataError, with JSON pointers, for invalid JSON, unknown or duplicate fields, and wrong types.
    """
    file = at(path)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}", hint="download it from the report's page"
        ) from error
    return parse_review(text, file=str(file))


def parse_review(text: bytes, *, file: str) -> Review:
    """Read a review from its text; raises DataError as ``read_review`` does."""
    try:
        json.loads(text, object_pairs_hook=_without_doubles)
        return Review.model_validate_json(text)
    except ValidationError as error:
        raise DataError(_problems(error, file)) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(file=file, message=f"not a review: {error}")) from error


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> None:
    """Raise for a JSON object with duplicate keys."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"the field {max(names, key=names.count)!r} appears twice in one object")


def _problems(error: ValidationError, file: str) -> list[Problem]:
    """Convert pydantic's errors to problems with JSON pointers."""
    found = error.errors(include_url=False, include_context=False)
    out = [
        Problem(file=file, path="".join(f"/{step}" for step in one["loc"]), message=_message(one))
        for one in found[:MOST_PROBLEMS]
    ]
    if len(found) > MOST_PROBLEMS:
        out.append(Problem(file=file, message=f"and {len(found) - MOST_PROBLEMS} more problems"))
    return out


def _message(one: ErrorDetails) -> str:
    """Return pydantic's message in autolabel's style, with the value shortened."""
    text = one["msg"].removeprefix("Value error, ")
    value = one["input"]
    shown = f", got {value!r}" if isinstance(value, str | int | float | None) and len(repr(value)) < 80 else ""
    return text[:1].lower() + text[1:] + (shown if "got" not in text and one["type"] != "missing" else "")


def encode_review(review: Review) -> bytes:
    """Return a review as indented JSON with a final newline; empty fields are left out."""
    return (review.model_dump_json(indent=1, exclude_none=True) + "\n").encode()


def encode_whole(review: Review) -> bytes:
    """Return a run's own ``review.json``: as ``encode_review`` does, with a checksum."""
    text = encode_review(review.model_copy(update={"sum": None})).removesuffix(b"\n}\n")
    return text + f',\n "sum": "{sum_of(text)}"\n}}\n'.encode()


def parse_whole(text: bytes, *, file: str) -> Review:
    """Read a run's own ``review.json``; raises DataError as ``parse_review`` does, or if the checksum is wrong.

    A file that was copied there by hand has no checksum.
    """
    found = _SUMMED.fullmatch(text)
    if found and sum_of(found[1]) != found[2].decode():
        hint = "restore it from a copy; if you have edited it, remove the fields sum, after and journal"
        raise DataError(f"{file}: is damaged: its checksum does not match", hint=hint)
    return parse_review(text, file=file)


def encode_line(review: Review) -> bytes:
    """Return a review as one line of the journal."""
    return (review.model_dump_json(exclude_none=True) + "\n").encode()


def review_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``review.json``, and of each line of the journal."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Review.model_json_schema()}


def _check_corners(box: Corners | None) -> None:
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"bbox must be x1 y1 x2 y2 with x1 < x2 and y1 < y2, got {list(box)}")
