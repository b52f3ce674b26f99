"""Draw a sample: record the subject of a certificate and the seed before anything is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolabel.certify.entry_form import Entry
from autolabel.certify.groups import encode_groups, read_groups_file
from autolabel.certify.journal import MOST_BYTES as JOURNAL_BYTES
from autolabel.certify.journal import CertificateJournal
from autolabel.certify.order import digest_of, seed_of
from autolabel.certify.population import decided, encode_decided, image_names, limits_of, population, stand_ins
from autolabel.certify.statement import VERSION
from autolabel.certify.units import Units
from autolabel.plan.model import Plan
from autolabel.results.duplicates import read_groups
from autolabel.results.store import RunStore, publish
from autolabel.spec.thresholds import read_thresholds
from autolabel.storage import read_regular

_Carried = Callable[[Units], dict[str, Any]]
"""Returns answers that are known in a population, by the names of its units."""
FOLDER = "certificate"
JOURNAL = f"{FOLDER}/journal.jsonl"
REVIEW = f"{FOLDER}/review.json"
"""The decisions at the time of the draw."""
GROUPS = f"{FOLDER}/groups.json"
_EVERY_IMAGE = "none"
"""The value that stands for no groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """The settings of a call; None keeps the current setting, or the default before the first draw."""

    precision: float | None = None
    recall: float | None = None
    confidence: float | None = None
    by_class: bool = False
    thresholds: Path | None = None
    groups: Path | None = None
    """A CSV file with the columns image and group: one image of each group is drawn from; ``none``: every image is."""
    budget: float | None = None
    """Minutes."""
    most_missed: int | None = None
    """K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The settings fixed by a draw; None is the default."""

    confidence: float | None = None
    most_missed: int | None = None
    thresholds: Mapping[str, float] | None = None
    groups: Mapping[str, str] | None = None
    """The group of each image; empty if every image is drawn from."""


def terms_of(asked: CertificateRequest, store: RunStore, plan: Plan) -> Terms:
    """Read the files of a request; raises SpecError or DataError, with the line, if one is wrong."""
    classes = plan.manifest.classes
    return Terms(
        confidence=asked.confidence,
        most_missed=asked.most_missed,
        thresholds=None if asked.thresholds is None else read_thresholds(asked.thresholds, classes=classes),
        groups=None if asked.groups is None else _groups(asked.groups, store, plan),
    )


def _groups(path: Path, store: RunStore, plan: Plan) -> Mapping[str, str]:
    return {} if str(path) == _EVERY_IMAGE else read_groups_file(path, images=image_names(store, plan))


def own_groups(store: RunStore, plan: Plan) -> dict[str, str]:
    """Return the group of each image with near-duplicates, from the run's ``duplicates.json``."""
    return {image: members[0] for members in read_groups(store, plan).members for image in members}


def difference(draw: Mapping[str, Any], terms: Terms) -> str:
    """Describe how a request differs from what the draw fixed; empty if it does not."""
    if terms.confidence is not None and terms.confidence != draw["confidence"]:
        return f"the confidence is {draw['confidence']:g}, not {terms.confidence:g}"
    if terms.most_missed is not None and terms.most_missed != draw["K"]:
        return f"K is {draw['K']}, not {terms.most_missed}"
    if terms.thresholds is not None and dict(terms.thresholds) != draw["limits"]["thresholds"]:
        return "the thresholds are not those of the sample"
    if terms.groups is not None and _digest_of_groups(terms.groups) != draw["groups"]:
        return "the groups are not those of the sample"
    return ""


def draw(
    store: RunStore,
    plan: Plan,
    journal: CertificateJournal,
    terms: Terms,
    *,
    audit: int,
    carried: _Carried | None = None,
) -> None:
    """Begin audit number ``audit`` of a run; ``carried`` returns the answers of earlier audits that still hold."""
    limits, review = limits_of(plan, terms.thresholds), decided(store)
    groups = terms.groups or {}
    only = stand_ins(store, plan, review=review, groups=groups)
    units = population(store, plan, limits=limits, review=review, only=only)
    copied = encode_decided(review)
    publish(store.root / REVIEW, [copied], name="certificate")
    if groups:
        publish(store.root / GROUPS, [encode_groups(groups)], name="certificate")
    entry = {
        "version": VERSION,
        "audit": audit,
        "plan": plan.digest,
        "population": units.digest,
        "boxes": len(units.box_keys),
        "images": len(units.rows),
        "confidence": 0.95 if terms.confidence is None else terms.confidence,
        "K": units.cap() if terms.most_missed is None else terms.most_missed,
        "class_K": {name: units.cap(units.of_class(place)) for name, place in units.place_of_class.items()},
        "limits": limits,
        "own_thresholds": terms.thresholds is not None,
        "review": _sha256(copied),
        "groups": _digest_of_groups(groups),
    }
    kept = {} if carried is None else carried(units)
    known = {name: place for name, place in _by_name(units).items() if name not in kept}
    seed = seed_of(units.digest, _digest([*kept, *known]), 1)
    first: list[Entry] = [{"draw": entry}, *({"answer": one} for one in kept.values())]
    _archive(store, journal, audit - 1)
    journal.begin([*first, {"round": {"number": 1, "seed": seed, "chosen": sorted(known)}}])


def _archive(store: RunStore, journal: CertificateJournal, audit: int) -> None:
    """Archive the journal of the previous audit, which is about other labels."""
    place = store.root / FOLDER / f"journal-{audit}.jsonl"
    if audit and journal.path.exists() and not place.exists():
        publish(place, [read_regular(journal.path, most=JOURNAL_BYTES)], name="certificate")


def _by_name(units: Units) -> dict[str, int]:
    """Return the units that a person has decided, keyed by name."""
    prefix = units.digest[:8]
    named = {f"{prefix}-b{units.box_keys[place]:016x}": place for place in units.kept}
    return named | {f"{prefix}-i{units.image_keys[place]:016x}": place for place in units.complete}


def _digest(names: list[str]) -> str:
    keys = [name.partition("-")[2] for name in names]
    return digest_of(
        (int(key[1:], 16) for key in keys if key[0] == "b"), (int(key[1:], 16) for key in keys if key[0] == "i")
    )


def _digest_of_groups(groups: Mapping[str, str]) -> str:
    """Return the digest of groups; empty if there are none."""
    return _sha256(encode_groups(groups)) if groups else ""


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
