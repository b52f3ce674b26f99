"""Convert a page's requested changes to decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from autolabel.errors import DataError
from autolabel.results.decision import Corners, Decision, Key, Mask, Name, Row
from autolabel.results.row_view import Box, RowView, about, gone, kept

_MOST_CHANGES = 10_000

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _RequestedChange(BaseModel):
    """The change of one box, named by ``phrase`` and ``bbox``; ``draw`` adds a new box."""

    model_config = _STRICT

    phrase: Name
    bbox: Corners
    do: Literal["keep", "reject", "forget", "mask_accept", "mask_reject", "mask_restore", "draw"]
    to_bbox: Corners | None = None
    to_phrase: Name | None = None


class Request(BaseModel):
    """A page's request: changes of boxes of one row, and a verdict on the whole row."""

    model_config = _STRICT

    id: Annotated[str, Field(min_length=8, max_length=64)]
    tab: Annotated[str, Field(min_length=1, max_length=64)]
    row: Annotated[int, Field(ge=0)]
    image: str
    """The row's image, as a check that page and server speak of the same labels."""
    changes: Annotated[tuple[_RequestedChange, ...], Field(max_length=_MOST_CHANGES)] = ()
    whole: Literal["checked", "nothing", "reject", "forget"] | None = None


def decisions(request: Request, view: RowView, *, classes: Sequence[str]) -> list[Decision]:
    """Return the decisions for a request; raises DataError for an unknown box or class."""
    out: dict[Key, Decision] = {}
    known = {box.key: box for box in view.boxes}
    for change in request.changes:
        key = (change.phrase, change.bbox)
        if change.do == "draw":
            _check(change.phrase, change.bbox, view, classes)
            made = Decision(**_named(view.row), bbox=change.bbox, phrase=change.phrase, verdict="keep")
        elif key not in known:
            raise DataError(f"{request.image}: this box no longer exists: {change.phrase} at {list(change.bbox)}")
        else:
            _check(change.to_phrase or change.phrase, change.to_bbox, view, [*classes, change.phrase])
            made = _changed(known[key], change, view)
        out[made.key] = made
    for made in _of_row(request, view, out):
        out[made.key] = made
    return list(out.values())


def with_mask(box: Box, mask: Mask | Literal["none"], row: Row) -> Decision:
    """Return a decision that gives a box a mask."""
    return kept(box, row, box.becomes.model_copy(update={"mask": mask}))


def _of_row(request: Request, view: RowView, changed: Mapping[Key, Decision]) -> list[Decision]:
    """Return the decisions about the whole row, with the implied ones about its boxes."""
    if request.whole is None:
        taken_back = any(one.verdict == "forget" and one.key for one in changed.values())
        if taken_back and view.verdict == "checked":
            return [Decision(**_named(view.row), verdict="forget")]
        return []
    if request.whole == "checked":
        open_boxes = (box for box in view.boxes if box.verdict is None and not box.hidden and box.key not in changed)
        said = [kept(box, view.row, box.becomes) for box in open_boxes]
        return [*said, Decision(**_named(view.row), verdict="checked")]
    if request.whole == "nothing":
        removed = [gone(box, view.row) for box in view.boxes if box.verdict != "reject"]
        return [*removed, Decision(**_named(view.row), verdict="checked")]
    return [Decision(**_named(view.row), verdict=request.whole)]


def _changed(box: Box, change: _RequestedChange, view: RowView) -> Decision:
    if change.do == "reject":
        return gone(box, view.row)
    if change.do == "forget":
        return about(box, view.row, "forget")
    becomes = box.becomes
    if change.do.startswith("mask"):
        return kept(box, view.row, becomes.model_copy(update={"mask": _judged_mask(box, change)}))
    if change.to_phrase is not None:
        becomes = becomes.model_copy(update={"phrase": None if change.to_phrase == box.phrase else change.to_phrase})
    if change.to_bbox is not None and change.to_bbox != box.place:
        back = change.to_bbox == box.bbox
        becomes = becomes.model_copy(update={"bbox": None if back else change.to_bbox, "mask": None})
    return kept(box, view.row, becomes)


def _judged_mask(box: Box, change: _RequestedChange) -> Mask | Literal["none"] | None:
    if change.do == "mask_reject":
        return "none"
    if change.do == "mask_restore":
        return None
    if box.mask is None:
        raise DataError(f"{change.phrase} at {list(change.bbox)} has no mask to accept")
    return Mask(size=box.mask.size, counts=box.mask.counts)


def _named(row: Row) -> dict[str, str | int]:
    return {"image": row[0], "caption_index": row[1]}


def _check(phrase: str, bbox: Corners | None, view: RowView, classes: Sequence[str]) -> None:
    if phrase not in classes:
        raise DataError(f"{phrase!r} is not a class of this run")
    if bbox is None:
        return
    height, width = view.size
    if not (bbox[0] < bbox[2] <= width and bbox[1] < bbox[3] <= height):
        raise DataError(f"a box must lie inside the image of {width}x{height} pixels, got {list(bbox)}")
