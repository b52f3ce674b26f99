"""A person's decisions about boxes: read, joined with earlier ones, applied to labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from autolabel.errors import DataError, Problem
from autolabel.storage import Location, at
from autolabel.types import GIVEN, Instances, Labels, Size
from autolabel.types.boxes import Float32, areas, clip, iou

SAME = 0.7
"""From this overlap on, boxes of one phrase are the same object: what ``nms`` takes for one by default."""
MOST_PROBLEMS = 20

Verdict = Literal["keep", "reject", "forget"]
Coordinate = Annotated[float, Field(ge=0, le=1e9)]
Score = Annotated[float, Field(ge=0, le=1)]
FoundIn = Annotated[int, Field(ge=GIVEN, le=32767)]


class Decision(BaseModel):
    """What a person said of one box, or (``bbox`` and ``phrase`` null) of a whole row."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    image: Annotated[str, Field(min_length=1)]
    caption_index: Annotated[int, Field(ge=0)] = 0
    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate] | None = None
    """``x1 y1 x2 y2`` in pixels, as in ``labels.jsonl``."""
    phrase: str | None = None
    score: Score | None = None
    round: FoundIn | None = None
    verdict: Verdict

    @model_validator(mode="after")
    def check_box(self) -> Decision:
        """Refuse a box without phrase, a phrase without box, and a box turned inside out."""
        if (self.bbox is None) != (self.phrase is None):
            raise ValueError("bbox and phrase go together: both for a box, neither for a whole image")
        if self.bbox is not None and not (self.bbox[0] < self.bbox[2] and self.bbox[1] < self.bbox[3]):
            raise ValueError(f"bbox must be x1 y1 x2 y2 with x1 < x2 and y1 < y2, got {list(self.bbox)}")
        return self

    @property
    def row(self) -> tuple[str, int]:
        """The row it speaks of."""
        return self.image, self.caption_index


class Review(BaseModel):
    """The decisions about one run's labels."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    plan: str
    """The digest of the plan whose labels the person saw; decisions hold for other plans too."""
    decisions: tuple[Decision, ...] = ()

    @cached_property
    def by_row(self) -> dict[tuple[str, int], list[Decision]]:
        """The decisions of each row (image, caption index), in order."""
        out: dict[tuple[str, int], list[Decision]] = {}
        for decision in self.decisions:
            out.setdefault(decision.row, []).append(decision)
        return out

    def boxes(self, labels: Labels) -> list[Decision]:
        """Return the decisions about single boxes of a row."""
        return [one for one in self.by_row.get(row_of(labels), ()) if one.bbox is not None]

    def whole(self, labels: Labels) -> Verdict | None:
        """Return the decision about a whole row, if there is one."""
        return next((one.verdict for one in self.by_row.get(row_of(labels), ()) if one.bbox is None), None)


def row_of(labels: Labels) -> tuple[str, int]:
    """Return a row's name."""
    return labels.image.id, labels.caption_index


def read_review(path: str | Location) -> Review:
    """Read a review as it is written, ``forget`` included.

    Raises DataError with a JSON pointer for everything that is wrong: not JSON, unknown or doubled fields, wrong types.
    """
    file = at(path)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}", hint="download it from the report's page"
        ) from error
    try:
        json.loads(text, object_pairs_hook=without_doubles)
        return Review.model_validate_json(text)
    except ValidationError as error:
        raise DataError(problems(error, str(file))) from error
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(file=str(file), message=f"not a review: {error}")) from error


def without_doubles(pairs: Sequence[tuple[str, Any]]) -> None:
    """Refuse an object that says the same field twice; keeps nothing."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"the field {max(names, key=names.count)!r} is there twice in one object")


def problems(error: ValidationError, file: str) -> list[Problem]:
    """Return what pydantic found, as places in the file."""
    found = error.errors(include_url=False, include_context=False)
    out = [
        Problem(file=file, path="".join(f"/{step}" for step in one["loc"]), message=message(one))
        for one in found[:MOST_PROBLEMS]
    ]
    if len(found) > MOST_PROBLEMS:
        out.append(Problem(file=file, message=f"and {len(found) - MOST_PROBLEMS} more problems"))
    return out


def message(one: ErrorDetails) -> str:
    """Return pydantic's words in the house's style, with a short value that was found."""
    text = one["msg"].removeprefix("Value error, ")
    value = one["input"]
    shown = f", got {value!r}" if isinstance(value, str | int | float | None) and len(repr(value)) < 80 else ""
    return text[:1].lower() + text[1:] + (shown if "got" not in text and one["type"] != "missing" else "")


def encode(review: Review) -> bytes:
    """Return a review as indented JSON with a final newline; fields that say nothing are left out."""
    return (review.model_dump_json(indent=1, exclude_none=True) + "\n").encode()


def merge(old: Review, new: Review) -> Review:
    """Join two reviews: a new decision takes the place of the old one about the same object; ``forget`` removes it.

    The result is sorted by row, whole-row decisions first, and has neither doubles nor ``forget``.
    """
    rows = sorted(old.by_row.keys() | new.by_row.keys())
    joined = (one for row in rows for one in merge_row(old.by_row.get(row, []), new.by_row.get(row, [])))
    return Review(plan=new.plan, decisions=tuple(joined))


def merge_row(old: list[Decision], new: list[Decision]) -> list[Decision]:
    """Join the decisions of one row, oldest first."""
    latest = {(one.phrase, one.bbox): one for one in new}
    new = list(latest.values())
    kept = [one for one in old if (one.phrase, one.bbox) not in latest]
    boxes = [one for one in kept if one.bbox is not None]
    fresh = [
        one for one in new if one.bbox is not None and (one.phrase, one.bbox) not in {(o.phrase, o.bbox) for o in old}
    ]
    taken = assign(corners(boxes), [one.phrase or "" for one in boxes], fresh)
    replaced = {id(boxes[index]) for index in taken if index >= 0}
    joined = [one for one in kept if id(one) not in replaced] + new
    return sorted(
        (one for one in joined if one.verdict != "forget"), key=lambda one: (one.phrase or "", one.bbox or ())
    )


def corners(decisions: Sequence[Decision]) -> npt.NDArray[np.float64]:
    """Return the (N, 4) boxes of decisions about boxes."""
    return np.asarray([one.bbox for one in decisions], np.float64).reshape(-1, 4)


def assign(boxes: npt.NDArray[Any], phrases: Sequence[str], decisions: Sequence[Decision]) -> list[int]:
    """Return for each decision the index of the (N, 4) box that it speaks of, or -1.

    A box has at most one decision: pairs of equal phrase and an overlap of SAME or more, the closest first.
    """
    out = [-1] * len(decisions)
    if not len(boxes) or not decisions:
        return out
    overlap = iou(corners(decisions), boxes)
    names = np.asarray(phrases, object)
    overlap[np.asarray([one.phrase for one in decisions], object)[:, None] != names[None, :]] = 0
    pairs = np.flatnonzero(overlap >= SAME)
    free = np.ones(len(boxes), bool)
    for place in pairs[np.argsort(-overlap.ravel()[pairs], kind="stable")].tolist():
        decision, box = divmod(place, len(boxes))
        if out[decision] < 0 and free[box]:
            out[decision], free[box] = box, False
    return out


def verdicts(labels: Labels, review: Review) -> list[Verdict | None]:
    """Return for each box of a row what a person said of it, None where nobody did."""
    decisions = review.boxes(labels)
    out: list[Verdict | None] = [None] * len(labels.instances)
    for decision, box in zip(decisions, assigned(labels, decisions), strict=True):
        if box >= 0:
            out[box] = decision.verdict
    return out


def assigned(labels: Labels, decisions: Sequence[Decision]) -> list[int]:
    """Return for each decision the index of the row's box that it speaks of, or -1."""
    names = [labels.prompt.phrases[label] for label in labels.instances.labels.tolist()]
    return assign(labels.instances.boxes, names, decisions)


def left_out(labels: Labels, review: Review) -> bool:
    """Tell whether a person rejected the whole row: exports leave it out."""
    return review.whole(labels) == "reject"


def protected(labels: Labels, review: Review) -> npt.NDArray[np.bool_]:
    """Return which boxes of a row (N,) a person kept: no filter may drop them."""
    return np.asarray([verdict == "keep" for verdict in verdicts(labels, review)], bool)


def apply(labels: Labels, review: Review) -> Labels:
    """Return a row as its person wants it; a row nobody spoke of, or that failed, comes back as it is.

    Rejected boxes are dropped; kept ones have the place in which they were kept, and come back where a later run has
    not found them (without mask), as long as their phrase is still asked. A row rejected as a whole has no boxes; one
    kept as a whole has the kept boxes only.
    """
    if labels.reason is not None or row_of(labels) not in review.by_row:
        return labels
    whole = review.whole(labels)
    if whole == "reject":
        return replace(labels, instances=Instances.empty())
    decisions = review.boxes(labels)
    places = assigned(labels, decisions)
    stays = np.full(len(labels.instances), whole is None)
    boxes = labels.instances.boxes.copy()
    for decision, box in zip(decisions, places, strict=True):
        if box >= 0:
            stays[box] = decision.verdict == "keep"
            boxes[box] = inside([decision], labels.image.size)
    lost = [one for one, box in zip(decisions, places, strict=True) if box < 0 and one.verdict == "keep"]
    moved = replace(labels.instances, boxes=boxes)
    return replace(labels, instances=Instances.concatenate([moved.take(stays), restored(lost, labels)]))


def restored(decisions: Sequence[Decision], labels: Labels) -> Instances:
    """Return kept boxes as instances, but for those whose phrase is asked no more or that lie outside the image."""
    phrases = {phrase: index for index, phrase in enumerate(labels.prompt.phrases)}
    asked = [one for one in decisions if one.phrase in phrases]
    built = Instances.build(
        inside(asked, labels.image.size),
        scores=[1.0 if one.score is None else one.score for one in asked],
        labels=[phrases[one.phrase or ""] for one in asked],
        rounds=[GIVEN if one.round is None else one.round for one in asked],
    )
    return built.take(areas(built.boxes) > 0)


def inside(decisions: Sequence[Decision], size: Size) -> Float32:
    """Return the (N, 4) boxes of decisions, cut to the image."""
    return clip(corners(decisions), size)
