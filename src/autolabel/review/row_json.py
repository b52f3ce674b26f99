"""A row as plain JSON for the page."""

from __future__ import annotations

from typing import Any

from autolabel.report.outline import path_outline
from autolabel.results.row_view import Box, RowView
from autolabel.types import GIVEN

_MOST_OUTLINES = 1_000
"""The most masks of a row that are drawn."""


def row_json(view: RowView) -> dict[str, Any]:
    """Return a row as plain JSON; boxes are sorted by score, ascending."""
    labels = view.labels
    return {
        "image": view.row[0],
        "caption_index": view.row[1],
        "height": view.size[0],
        "width": view.size[1],
        "caption": labels.prompt.caption,
        "state": labels.state,
        "reason": labels.reason.message if labels.reason else None,
        "notes": list(labels.notes[:5]),
        "verdict": view.verdict,
        "boxes": [_box_told(box, drawn=number < _MOST_OUTLINES) for number, box in enumerate(view.boxes)],
    }


def _box_told(box: Box, *, drawn: bool) -> dict[str, Any]:
    becomes = box.becomes
    return {
        "phrase": box.phrase,
        "bbox": box.bbox,
        "name": box.name,
        "place": box.place,
        "score": None if box.added and box.round == GIVEN else box.score,
        "round": box.round,
        "added": box.added,
        "hidden": box.hidden,
        "verdict": box.verdict,
        "moved": becomes.bbox is not None,
        "renamed": becomes.phrase is not None,
        "mask": path_outline(box.mask) if drawn and box.mask is not None else None,
        "mask_verdict": None if becomes.mask is None else "reject" if becomes.mask == "none" else "keep",
        "sources": box.sources,
        "asked": box.asked,
        "verified": None if box.verified is None else round(box.verified, 6),
        "expression": box.expression,
        "reviewer": box.reviewer,
        "time": box.time,
    }
