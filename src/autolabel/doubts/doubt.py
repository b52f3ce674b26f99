"""The data model of ``autolabel doubts``: what may be wrong with a label, how likely, and the evidence."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from autolabel.schema_faults import struct_schema

_VERSION = 1
_Corners = tuple[float, float, float, float]
"""``x1 y1 x2 y2`` in pixels."""
Kind = Literal["missing", "class", "place", "unsupported", "overlap", "size"]
KINDS: dict[Kind, str] = {
    "missing": "found, but not labelled",
    "class": "labelled as another class than it was found as",
    "place": "found near the labelled place",
    "unsupported": "labelled, but not found, or hardly",
    "overlap": "labelled twice, as two classes",
    "size": "of an odd size for its class",
}


class SeenObject(msgspec.Struct, frozen=True, kw_only=True):
    """The box that contradicts a label."""

    phrase: str
    bbox: _Corners
    score: float | None
    """The model's; null for a box of the labels themselves."""


class LabelDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """One box that may be an error."""

    image: str
    caption_index: int = 0
    kind: Kind
    chance: float
    """0 to 1: boxes are ranked by it. It is no share of errors: how many a data set has is not known."""
    phrase: str
    bbox: _Corners
    """The labelled box, or, where that is missing, the one that was found."""
    score: float | None = None
    """The model's score there, null if it found nothing of this class."""
    annotation: int | None = None
    """The id of the labelled box in the truth file, null if it has none."""
    seen: SeenObject | None = None
    """The box that says otherwise, null if none does."""


class DoubtfulImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image with what may be wrong in it."""

    image: str
    chance: float
    """The probability that the image has an error; images are ranked by it."""
    boxes: int
    """Its boxes that are in doubt more than in half of all cases."""
    twin: str | None = None
    """The near-duplicate whose labels differ most, null if there is none."""
    differs: int = 0
    """Boxes that only one of the two has."""


class Doubts(msgspec.Struct, frozen=True, kw_only=True):
    """All doubts, most likely errors first."""

    version: int = _VERSION
    plan: str
    """Digest of the run's plan."""
    truth: str | None
    """Whose labels are doubted: the truth file or run; null for the run's own."""
    images_compared: int
    boxes_compared: int
    """Labelled boxes."""
    boxes: tuple[LabelDoubt, ...]
    images: tuple[DoubtfulImage, ...]
    notes: tuple[str, ...] = ()


def doubts_schema() -> dict[str, Any]:
    """Return the JSON Schema of the output of ``autolabel doubts --json``."""
    return struct_schema(Doubts)
