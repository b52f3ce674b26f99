"""The data model of ``certificate.json``."""

from __future__ import annotations

from typing import Any

import msgspec

from autolabel.schema_faults import struct_schema

VERSION = 1


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """The statement about one share; null values if nothing can be stated."""

    at_least: float | None
    """The lower bound; holds with the confidence, separately, at any time."""
    at_most: float | None
    """The upper bound, likewise."""
    estimate: float | None
    """The most likely value, without guarantee."""
    exact: bool = False
    """Whether all was checked, so that the three are the share itself."""
    wanted: float | None = None
    certified: bool = False
    """Whether ``at_least`` reaches ``wanted``."""
    impossible: bool = False
    """Whether ``at_most`` is below ``wanted``, so that no number of checks suffices."""
    more_checks: int | None = None
    """Estimated further boxes or images until it is certified; null if that is probably out of reach."""


class _UnitCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Units of one kind."""

    units: int
    checked: int
    """Units with an answer, or decided before the draw."""
    drawn: int
    """Units whose answers are evidence."""
    known: int
    """Units decided by choice before a draw."""
    waiting: int
    """Shown, and not answered yet."""


class BoxCounts(_UnitCounts, frozen=True, kw_only=True):
    """Boxes with their verdicts."""

    right: int
    wrong: int
    cannot_tell: int


class Crowded(msgspec.Struct, frozen=True):
    """An image with more than K missed objects."""

    image: str
    missed: int


class ImageCounts(_UnitCounts, frozen=True, kw_only=True):
    """Images with their missed objects."""

    missed: int
    """Missed objects that were found, those beyond K included."""
    cannot_tell: int
    beyond_K: tuple[Crowded, ...]
    unreadable: int
    """Images that cannot be shown; the certificate does not cover them."""
    stood_for: int = 0
    """Near-duplicates that are represented by another image of their group; the certificate does not cover them."""


class AfterReview(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that hold once every mistake found is corrected."""

    removed: int
    """Wrong boxes that were found."""
    added: int
    """Missed objects that were found, up to K an image."""
    precision_at_least: float | None
    recall_at_least: float | None


class ClassStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The statement about a class, or about several small classes together."""

    name: str
    classes: tuple[str, ...]
    K: int | None
    """K of the class; None for several classes together, whose recall is not stated."""
    boxes: int
    checked: int
    precision: Stated
    recall: Stated


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A unit with different answers; the strictest counts."""

    id: str
    unit: str
    image: str


class WithinBudget(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate of the checks that the rest of a budget allows, and of their result."""

    boxes: int
    images: int
    precision_at_least: float | None
    recall_at_least: float | None


class Minutes(msgspec.Struct, frozen=True, kw_only=True):
    """Modelled working time: 1.5 s per box, 4 s per image, 8 s per missed object."""

    spent: float
    left: float | None
    """Estimated further minutes until all goals are certified; null if that is probably out of reach."""
    budget: float | None = None
    within_budget: WithinBudget | None = None


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``RUN/certificate/certificate.json``."""

    version: int
    holds: bool
    """Whether the exported labels are those that were drawn from, except for corrected mistakes found by checks."""
    changes: str | None
    """The changes since the draw, if there are any."""
    certified: bool
    """Whether it holds, and all goals are certified."""
    sentence: str
    """To quote."""
    confidence: float
    K: int
    """The most missed objects of one image that count."""
    precision: Stated
    recall: Stated
    complete: Stated
    """The share of the images that lack nothing; needs no K."""
    after_review: AfterReview
    checked: int
    units: int
    boxes: BoxCounts
    images: ImageCounts
    classes: tuple[ClassStatement, ...]
    disagreements: tuple[Disagreement, ...]
    minutes: Minutes
    plan: str
    population: str
    """SHA-256 of the boxes and images that were drawn from."""
    seed: str
    """The seed of the latest round, derived from the population and earlier decisions, so that it cannot be chosen."""
    rounds: int
    audits: int
    """The number of certificates begun for this run, including this one."""
    thresholds: dict[str, float]


def certificate_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``certificate.json``."""
    return struct_schema(Certificate)


def encode_certificate(certificate: Certificate) -> bytes:
    """Return a certificate as indented JSON with a final newline."""
    return msgspec.json.format(msgspec.json.encode(certificate), indent=2) + b"\n"


def decode_certificate(text: bytes) -> Certificate:
    """Read a certificate; raises msgspec.ValidationError if it is invalid."""
    return msgspec.json.decode(text, type=Certificate)
