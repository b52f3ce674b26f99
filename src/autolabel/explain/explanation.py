"""The data model of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autolabel.types import GIVEN
from autolabel.types.instances import Support

Box = tuple[float, ...]
"""``x1 y1 x2 y2`` in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One candidate of the detector; it may reach beyond the image."""

    bbox: Box
    phrase: str
    score: float
    round: int | None
    """The round in which it entered, None if it never did."""
    asked: str | None
    """The phrase that found it where its class was asked by other words, None if by its name."""
    look: str | None = None
    """The look in which it was found, None without looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskOrigin:
    """The labeler that made a box's mask."""

    labeler: str
    weights: dict[str, str]
    """SHA-256 by name of file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxOrigin:
    """One box of the labels, and its origin."""

    index: int
    """Its place in the row's ``instances``, from 0."""
    bbox: Box
    phrase: str
    score: float
    round: int
    asked: str | None
    """The phrase that found it where its class was asked by other words, None if by its name."""
    threshold: float | None
    """The confidence threshold of that round; None if the box was given."""
    given: Mapping[str, Any] | None
    """The fields of the input annotation that it came from."""
    derived: Box | None
    """The box derived from its sources, clipped to the image; None if none matches."""
    sources: tuple[Candidate, ...]
    """The candidates that it is made of: one where it was kept as it was found."""
    displaced: tuple[Candidate, ...]
    """Candidates that were dropped in favour of this box."""
    mask: MaskOrigin | None
    verdict: str | None
    """A person's decision: keep or reject."""
    verified: float | None = None
    """The verdict of a verifier; None if it was not verified."""
    expression: str | None = None
    """A referring expression: words that fit it and no other box of the image; None without one."""
    support: Support | None = None
    """The number of looks that saw it; None without looks."""

    @property
    def off(self) -> float:
        """The distance, in pixels, of the derived box from this one; infinite without one, 0 for a given box."""
        if self.derived is None:
            return 0.0 if self.round == GIVEN else float("inf")
        return max(abs(a - b) for a, b in zip(self.bbox, self.derived, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfound:
    """A phrase without a box."""

    phrase: str
    threshold: float
    """The lowest threshold of all rounds."""
    best: Candidate | None
    """The candidate of the highest score, however low; None if there is none."""
    displaced_by: int | None
    """The box that stands in the place of ``best``, where it scored enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One row of the labels, explained."""

    image: str
    caption_index: int
    caption: str | None
    width: int
    height: int
    state: str
    reason: str | None
    phrases: tuple[str, ...]
    labeler: str | None
    """The detector that searched the image once more; None if boxes were given, or the image failed."""
    aggregator: str | None
    last_round: int | None
    """The last round in which anything entered: the aggregator, asked in it, gives each box from its sources alone."""
    boxes: tuple[BoxOrigin, ...]
    unfound: tuple[Unfound, ...]
    looks: tuple[str, ...] = ()
    """The looks that were used; empty without looks."""

    @property
    def off(self) -> float:
        """The maximum distance of any box from its derived box, in pixels."""
        return max((box.off for box in self.boxes), default=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)
