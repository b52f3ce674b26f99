"""A row with the current decision about each box, for the review page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from autolabel.results.decision import Becomes, Corners, Decision, Key, Mask, Row
from autolabel.results.review import assigned
from autolabel.types import GIVEN, Labels, Rle, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box of a row: as labelled, and with its decision applied."""

    phrase: str
    bbox: Corners
    """The box in the labels, or as a person drew it; ``bbox`` and ``phrase`` identify it."""
    score: float
    round: int
    added: bool = False
    """Whether no labels have it: a person drew it, or kept it in an earlier run."""
    hidden: bool = False
    """Whether the run's thresholds or size filters leave it out."""
    verdict: str | None = None
    becomes: Becomes = field(default_factory=Becomes)
    mask: Rle | None = None
    """The mask as it is."""
    sources: tuple[str, ...] = ()
    asked: str | None = None
    verified: float | None = None
    """The verdict of a verifier on the box in the labels."""
    expression: str | None = None
    """The referring expression of the box in the labels."""
    reviewer: str | None = None
    time: str | None = None

    @property
    def key(self) -> Key:
        """The key of the box in decisions."""
        return self.phrase, self.bbox

    @property
    def place(self) -> Corners:
        """The current place of the box."""
        return self.becomes.bbox or self.bbox

    @property
    def name(self) -> str:
        """The current class."""
        return self.becomes.phrase or self.phrase


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One row with its current decisions."""

    row: Row
    size: Size
    labels: Labels
    verdict: str | None
    """The verdict on the whole row: ``checked``, ``reject`` or None."""
    boxes: tuple[Box, ...]


def view(labels: Labels, decisions: Iterable[Decision], *, shown: Iterable[bool]) -> RowView:
    """Return the view of a row; ``shown`` (N,) marks its exported boxes."""
    decisions = list(decisions)
    whole = next((one.verdict for one in decisions if one.key is None), None)
    about = [one for one in decisions if one.key is not None]
    places = assigned(labels, about)
    said = {box: one for one, box in zip(about, places, strict=True) if box >= 0}
    found = [_found(labels, index, said.get(index), visible) for index, visible in enumerate(shown)]
    added = [
        _added(one, labels.image.size)
        for one, box in zip(about, places, strict=True)
        if box < 0 and one.verdict == "keep"
    ]
    boxes = sorted([*found, *added], key=lambda box: (box.added, box.score, box.bbox))
    return RowView(
        row=(labels.image.id, labels.caption_index),
        size=labels.image.size,
        labels=labels,
        verdict="checked" if whole in ("keep", "checked") else whole,
        boxes=tuple(boxes),
    )


def _corners(box: Iterable[float]) -> Corners:
    """Return a box with the 3 decimals that the ledger has."""
    x1, y1, x2, y2 = (round(float(value), 3) for value in box)
    return x1, y1, x2, y2


def _found(labels: Labels, index: int, decision: Decision | None, visible: bool) -> Box:
    instances = labels.instances
    becomes = (decision.becomes if decision else None) or Becomes()
    own = instances.masks[index] if instances.masks else None
    bbox = _corners(instances.boxes[index].tolist())
    if decision is not None and decision.verdict == "keep" and becomes.bbox is None and decision.bbox != bbox:
        # It was kept in an earlier run, and keeps its position and mask.
        pinned = Mask(size=own.size, counts=own.counts) if own is not None and becomes.mask is None else becomes.mask
        becomes = becomes.model_copy(update={"bbox": decision.bbox, "mask": pinned})
    return Box(
        phrase=labels.prompt.phrases[instances.labels[index]],
        bbox=bbox,
        score=round(float(np.float64(instances.scores[index])), 6),
        round=int(instances.rounds[index]),
        hidden=not visible and decision is None,
        verdict=decision.verdict if decision else None,
        becomes=becomes,
        mask=_mask(becomes, own, labels.image.size),
        sources=instances.sources[index] if instances.sources else (),
        asked=instances.asked[index] if instances.asked else None,
        verified=instances.verdicts[index] if instances.verdicts else None,
        expression=instances.expressions[index] if instances.expressions else None,
        reviewer=decision.reviewer if decision else None,
        time=decision.time if decision else None,
    )


def _added(one: Decision, size: Size) -> Box:
    assert one.bbox is not None and one.phrase is not None
    becomes = one.becomes or Becomes()
    return Box(
        phrase=one.phrase,
        bbox=one.bbox,
        score=1.0 if one.score is None else one.score,
        round=GIVEN if one.round is None else one.round,
        added=True,
        verdict=one.verdict,
        becomes=becomes,
        mask=_mask(becomes, None, size),
        reviewer=one.reviewer,
        time=one.time,
    )


def _mask(becomes: Becomes, own: Rle | None, size: Size) -> Rle | None:
    if becomes.mask is None:
        return own if becomes.bbox is None else None
    return None if becomes.mask == "none" else becomes.mask.rle(size)


def about(box: Box, row: Row, verdict: Literal["keep", "reject", "forget"]) -> Decision:
    """Return a decision about a box of a row."""
    found = {} if box.added and box.round == GIVEN else {"score": box.score, "round": box.round}
    return Decision(image=row[0], caption_index=row[1], bbox=box.bbox, phrase=box.phrase, verdict=verdict, **found)


def kept(box: Box, row: Row, becomes: Becomes) -> Decision:
    """Return the decision that keeps a box, with its changes."""
    return about(box, row, "keep").model_copy(update={"becomes": becomes if becomes != Becomes() else None})


def gone(box: Box, row: Row) -> Decision:
    """Return the decision that removes a box: drawn boxes are forgotten, found ones rejected."""
    return about(box, row, "forget" if box.added else "reject")
