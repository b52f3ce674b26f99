"""Convert a network's output for one image into boxes with phrase and score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from autolabel.errors import ImageError
from autolabel.types import Instances, Size
from autolabel_labeling.caption import Caption

if TYPE_CHECKING:
    import numpy.typing as npt

_Floats: TypeAlias = "npt.NDArray[np.float32]"


def candidates(
    logits: _Floats, boxes: _Floats, caption: Caption, *, size: Size, score: Literal["mean", "max"], floor: float
) -> Instances:
    """Return every (query, phrase) pair that scores above ``floor``, best first, in pixels of an image of ``size``.

    ``logits`` are (queries, tokens), ``boxes`` (queries, 4) as centre x, y, width, height in 0..1. A phrase's score is
    the mean (TAO) or the maximum (IDEA-Research) over its tokens' sigmoids. Boxes may reach beyond the image; boxes
    without area are dropped. Raises ImageError ``answer_not_finite`` for NaN or infinity.
    """
    return pairs_above(phrase_scores(logits, caption, score=score), to_pixels(boxes, size), caption.labels, floor=floor)


def pairs_above(scores: _Floats, corners: _Floats, owners: Sequence[Sequence[int]], *, floor: float) -> Instances:
    """Return every pair of a box and a phrase that scores above ``floor``, best first.

    ``scores`` are (boxes, phrases), ``corners`` (boxes, 4) as x1, y1, x2, y2; ``owners`` lists, for each phrase, the
    labels that it stands for. Boxes without area are dropped. Raises ImageError ``answer_not_finite``.
    """
    check_finite(scores, corners)
    whole = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    rows, columns = np.nonzero((scores > floor) & whole[:, None])
    order = np.argsort(-scores[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    groups = [np.asarray(owner) for owner in owners]
    times = np.asarray([len(group) for group in groups], np.intp)[columns]
    labels = np.concatenate([groups[column] for column in columns]) if len(columns) else columns
    return Instances.build(
        np.repeat(corners[rows], times, axis=0), scores=np.repeat(scores[rows, columns], times), labels=labels
    )


def check_finite(*answers: _Floats) -> None:
    """Raise ImageError if a network's output contains NaN or infinity, which would look like an empty image."""
    if not all(np.isfinite(answer).all() for answer in answers):
        raise ImageError(
            "answer_not_finite",
            "the model's output is not finite: its weights are damaged, or its precision is too low",
        )


def phrase_scores(logits: _Floats, caption: Caption, *, score: Literal["mean", "max"]) -> _Floats:
    """Return (queries, phrases) in 0..1 from logits (queries, tokens)."""
    with np.errstate(over="ignore"):
        chances = 1 / (1 + np.exp(-logits.astype(np.float64)))
    edges = [edge for span in caption.spans for edge in span]
    reduce = np.add if score == "mean" else np.maximum
    totals = reduce.reduceat(chances, edges, axis=1)[:, ::2]
    if score == "mean":
        totals = totals / [stop - start for start, stop in caption.spans]
    return totals.astype(np.float32)


def to_pixels(boxes: _Floats, size: Size) -> _Floats:
    """Return (queries, 4) x1, y1, x2, y2 for an image of ``size``."""
    height, width = size
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    scale = np.array([width, height, width, height], np.float32)
    return (np.concatenate([centre - half, centre + half], axis=1) * scale).astype(np.float32)
