"""Turn a network's answer for one image into boxes with a phrase and a score."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from autolabel.types import Instances, Size
from autolabel_grounding_dino.caption import Caption

Floats = npt.NDArray[np.float32]


def candidates(
    logits: Floats, boxes: Floats, caption: Caption, *, size: Size, score: Literal["mean", "max"], floor: float
) -> Instances:
    """Return every (query, phrase) pair that scores above ``floor``, best first, in pixels of an image of ``size``.

    ``logits`` are (queries, tokens), ``boxes`` (queries, 4) as centre x, y, width, height in 0..1. A phrase's score is
    the mean (TAO) or the maximum (IDEA-Research) over its tokens' sigmoids. Boxes may reach beyond the image's edges;
    those that are not finite, or have no area, are dropped.
    """
    scores = phrase_scores(logits, caption, score=score)
    corners = to_pixels(boxes, size)
    whole = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    queries, spans = np.nonzero((scores > floor) & whole[:, None])
    order = np.argsort(-scores[queries, spans], kind="stable")
    queries, spans = queries[order], spans[order]
    owners = [np.asarray(owner) for owner in caption.labels]
    times = np.asarray([len(owner) for owner in owners])[spans]
    labels = np.concatenate([owners[span] for span in spans]) if len(spans) else spans
    return Instances.build(
        np.repeat(corners[queries], times, axis=0), scores=np.repeat(scores[queries, spans], times), labels=labels
    )


def phrase_scores(logits: Floats, caption: Caption, *, score: Literal["mean", "max"]) -> Floats:
    """Return (queries, phrases) in 0..1 from logits (queries, tokens)."""
    with np.errstate(over="ignore"):
        chances = 1 / (1 + np.exp(-logits.astype(np.float64)))
    edges = [edge for span in caption.spans for edge in span]
    reduce = np.add if score == "mean" else np.maximum
    totals = reduce.reduceat(chances, edges, axis=1)[:, ::2]
    if score == "mean":
        totals = totals / [stop - start for start, stop in caption.spans]
    return totals.astype(np.float32)


def to_pixels(boxes: Floats, size: Size) -> Floats:
    """Return (queries, 4) x1, y1, x2, y2 for an image of ``size``; all zero where a number is not finite."""
    height, width = size
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    scale = np.array([width, height, width, height], np.float32)
    corners = np.concatenate([centre - half, centre + half], axis=1) * scale
    return np.where(np.isfinite(corners).all(1, keepdims=True), corners, 0).astype(np.float32)
