"""The rows of a report's gallery as plain data, within a size limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from autolabel.data.prefetch import prefetch
from autolabel.images import MAX_PIXELS, ValueRange
from autolabel.report.markup import embed, shorten
from autolabel.report.outline import path_outline
from autolabel.report.thumbnail import Thumbnail, thumbnail
from autolabel.report.truth import TrueBox, match_to_truth, true_boxes
from autolabel.results.review import Review, row_of
from autolabel.results.row_view import view
from autolabel.types import Instances, Labels, Prompt

MAX_BYTES = 12_500_000
"""All rows together; the rest of the page stays below 1.5 MB."""
_PICTURE_BYTES = 8_000_000
_LARGEST_PICTURE = 120_000
_MOST_BOXES = 24_000
_MOST_BOXES_IN_ROW = 300
_OUTLINE_BYTES = 3_000_000
_LONGEST_CAPTION = 600
_MOST_PHRASES_UNFOUND = 20
_THREADS = 4

Truth = Mapping[str, Sequence[TrueBox]]


def gallery(
    rows: Sequence[Labels],
    *,
    max_pixels: int,
    truth: Truth | None,
    review: Review | None,
    value_range: ValueRange = None,
) -> list[str]:
    """Return the rows as JSON for the page, in order, as many as fit into MAX_BYTES."""
    share = max(1, len(rows))
    most = min(_LARGEST_PICTURE, _PICTURE_BYTES // share)
    shrink = partial(thumbnail, max_pixels=max_pixels, max_bytes=most, value_range=value_range)
    out: list[str] = []
    left = MAX_BYTES
    pictures = prefetch(
        lambda row: shrink(row.image.path),
        rows,
        threads=_THREADS,
        ahead=2 * _THREADS,
        weight=lambda row: row.image.size[0] * row.image.size[1],
        most=MAX_PIXELS,
    )
    for row, picture in zip(rows, pictures, strict=True):
        text = embed(_described(row, picture, share=share, truth=truth, review=review))
        if len(text) < left:
            out.append(text)
            left -= len(text) + 1
    return out


def _described(
    row: Labels, picture: Thumbnail, *, share: int, truth: Truth | None, review: Review | None
) -> dict[str, Any]:
    """Return one row as plain data; ``share`` rows share the size limits."""
    row, decided, keys = _as_decided(row, review)
    shown = _spread(row, min(_MOST_BOXES_IN_ROW, _MOST_BOXES // share))
    row_phrases = row.prompt.phrases
    used = [row_phrases[label] for label in np.unique(row.instances.labels).tolist()]
    true = true_boxes(truth, row.image.id)
    matched = match_to_truth(row.instances, row_phrases, true or ())
    return {
        "image": row.image.id,
        "caption_index": row.caption_index,
        "height": row.image.size[0],
        "width": row.image.size[1],
        "caption": shorten(row.prompt.caption or "", _LONGEST_CAPTION),
        "jpeg": picture.jpeg,
        "problem": picture.problem,
        "phrases": used,
        "unfound": [phrase for phrase in row_phrases if phrase not in used][:_MOST_PHRASES_UNFOUND],
        "total": len(row.instances),
        "boxes": list(_boxes(row, shown, used=used, outline_bytes=_OUTLINE_BYTES // share)),
        "names": [keys[index] for index in shown],
        "matched": [matched[index] for index in shown],
        **_verified(row, shown),
        **_expressions(row, shown),
        "verdicts": [decided[index] for index in shown],
        "verdict": review.whole(row) if review else None,
        "truth": None if true is None else [[*_rounded(box.bbox), box.phrase] for box in true[:_MOST_BOXES_IN_ROW]],
        "notes": [shorten(note, 200) for note in row.notes[:5]],
    }


def _as_decided(row: Labels, review: Review | None) -> tuple[Labels, list[str | None], list[list[Any] | None]]:
    """Return a row with all its boxes at their decided positions, including rejected and added ones.

    Also returns each box's verdict, and its key in decisions, ``[x1, y1, x2, y2, phrase]``, if that differs from the
    row.
    """
    decisions = review.by_row.get(row_of(row), ()) if review else ()
    if not decisions or row.reason is not None:
        return row, [None] * len(row.instances), [None] * len(row.instances)
    seen = view(row, decisions, shown=[True] * len(row.instances)).boxes
    phrases = tuple(dict.fromkeys([*row.prompt.phrases, *(box.name for box in seen)]))
    masks = [box.mask for box in seen]
    instances = Instances.build(
        [box.place for box in seen],
        scores=[box.score for box in seen],
        labels=[phrases.index(box.name) for box in seen],
        rounds=[box.round for box in seen],
        masks=masks if any(masks) else None,
        verdicts=None if row.instances.verdicts is None else [box.verified for box in seen],
        expressions=None if row.instances.expressions is None else [box.expression for box in seen],
    )
    keys: list[list[Any] | None] = [
        [*box.bbox, box.phrase] if (box.place, box.name) != (box.bbox, box.phrase) else None for box in seen
    ]
    changed = replace(row, instances=instances, prompt=Prompt(phrases, row.prompt.caption))
    return changed, [box.verdict for box in seen], keys


def _verified(row: Labels, shown: Sequence[int]) -> dict[str, list[float | None]]:
    """Return the verdicts on boxes; empty if the row has none."""
    said = row.instances.verdicts
    if said is None:
        return {}
    return {"verified": [None if (one := said[index]) is None else round(one, 6) for index in shown]}


def _expressions(row: Labels, shown: Sequence[int]) -> dict[str, list[str | None]]:
    """Return the referring expressions of some boxes; nothing if the row has none."""
    told = row.instances.expressions
    if told is None:
        return {}
    return {
        "expressions": [None if (one := told[index]) is None else shorten(one, _LONGEST_CAPTION) for index in shown]
    }


def _spread(row: Labels, most: int) -> list[int]:
    """Return the indices of at most ``most`` boxes, evenly spread over scores."""
    order = np.argsort(row.instances.scores, kind="stable")
    if len(order) > most:
        order = order[np.linspace(0, len(order) - 1, most).astype(np.intp)]
    return [int(index) for index in order]


def _boxes(row: Labels, shown: Sequence[int], *, used: Sequence[str], outline_bytes: int) -> Iterator[list[Any]]:
    """Yield ``[x1, y1, x2, y2, phrase, score, round, outline]`` for each box; ``phrase`` is an index into ``used``.

    Outlines beyond ``outline_bytes`` per row are left out.
    """
    found = row.instances
    masks = found.masks or (None,) * len(found)
    for index in shown:
        mask = masks[index]
        drawn = path_outline(mask) if mask is not None and outline_bytes > 0 else ""
        outline_bytes -= len(drawn)
        phrase = used.index(row.prompt.phrases[found.labels[index]])
        score = round(float(found.scores[index]), 6)
        yield [*_rounded(found.boxes[index].tolist()), phrase, score, int(found.rounds[index]), drawn]


def _rounded(box: Sequence[float]) -> list[float]:
    """Return coordinates with the 3 decimals that the ledger has."""
    return [round(float(value), 3) for value in box]
