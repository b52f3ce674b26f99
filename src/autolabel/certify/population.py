"""The population of a certificate: the exported labels of a run, with decisions made before the draw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec.structs import asdict

from autolabel.certify.groups import representatives
from autolabel.certify.units import HandedOut, Units, gather_units, readable
from autolabel.errors import DataError
from autolabel.plan.model import Plan, SizeLimits
from autolabel.results import review as reviews
from autolabel.results.decision import MOST_BYTES, parse_review
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import ledger_of
from autolabel.results.review import Review, encode_review
from autolabel.results.select import handed_out
from autolabel.results.store import RunStore
from autolabel.storage import Location, read_regular
from autolabel.types import Labels


def population(
    store: RunStore,
    plan: Plan,
    *,
    limits: Mapping[str, Any],
    review: Review | None,
    only: frozenset[str] | None = None,
) -> Units:
    """Return the units of a run: boxes and images that leave it under ``limits`` (filter, thresholds) and a review.

    ``only`` are the images that represent their groups; None if there are no groups.
    """
    found = _rows(store, plan, limits=limits, review=review)
    if only is None:
        return gather_units(found, plan.manifest.classes)
    left = 0

    def standing() -> Iterator[HandedOut]:
        nonlocal left
        for one in found:
            if one.labels.image.id in only or not readable(one.labels):
                yield one
            else:
                left += 1

    units = gather_units(standing(), plan.manifest.classes)
    units.stood_for = left
    return units


def stand_ins(
    store: RunStore, plan: Plan, *, review: Review | None, groups: Mapping[str, str]
) -> frozenset[str] | None:
    """Return the images to draw from: one of each group, and all without a group; None if there are no groups."""
    if not groups:
        return None
    there = (
        row.image.id
        for row in ledger_of(store, plan)
        if readable(row) and (review is None or not reviews.left_out(row, review))
    )
    return representatives(there, groups, plan=plan.digest)


def image_names(store: RunStore, plan: Plan) -> frozenset[str]:
    """Return the names of a run's images."""
    return frozenset(row.image.id for row in ledger_of(store, plan))


def _rows(store: RunStore, plan: Plan, *, limits: Mapping[str, Any], review: Review | None) -> Iterator[HandedOut]:
    """Yield the exported rows, without images that a person left out."""
    change = partial(
        handed_out,
        limits=SizeLimits(**limits.get("filter") or {}),
        thresholds=limits.get("thresholds"),
        review=review,
        classes=plan.manifest.classes,
    )
    for before in ledger_of(store, plan):
        if review is not None and reviews.left_out(before, review):
            continue
        after = change(before)
        if review is None:
            yield HandedOut(labels=after, kept=np.zeros(len(after.instances), bool), complete=False)
        else:
            kept = _by_hand(before, after, review, plan.manifest.classes)
            yield HandedOut(labels=after, kept=kept, complete=reviews.is_checked(before, review))


def _by_hand(before: Labels, after: Labels, review: Review, classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which boxes of an exported row, (N,), a person has kept, moved or drawn."""
    applied, kept = reviews.apply_protected(before, review, classes=classes)
    chosen = set(_names(replace(applied, instances=applied.instances.take(kept)).inside()))
    return np.array([name in chosen for name in _names(after)], bool)


def _names(labels: Labels) -> list[tuple[str, tuple[float, ...]]]:
    found = labels.instances
    pairs = zip(found.labels.tolist(), found.boxes.tolist(), strict=True)
    return [(labels.prompt.phrases[label], tuple(box)) for label, box in pairs]


def limits_of(plan: Plan, thresholds: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the filter and thresholds of a run's exports; ``thresholds`` replace the plan's."""
    own = plan.outputs.thresholds if thresholds is None else thresholds
    sizes = {} if plan.outputs.filter is None else asdict(plan.outputs.filter)
    stated = {name: value for name, value in sizes.items() if value is not None}
    return {"filter": stated, "thresholds": dict(own or {})}


def decided(store: RunStore) -> Review | None:
    """Return the decisions about the run so far."""
    return read_decisions(store)


def encode_decided(review: Review | None) -> bytes:
    """Encode decisions for the file beside a sample."""
    if review is None:
        return b"null\n"
    return encode_review(review.model_copy(update={"journal": None, "after": None, "sum": None}))


def read_decided(path: Location, digest: str) -> Review | None:
    """Read the decisions beside a sample; raises DataError if they differ from those of the draw."""
    text = read_regular(path, most=MOST_BYTES) if path.exists() else b""
    if hashlib.sha256(text).hexdigest() != digest:
        raise DataError(f"{path}: is not the file that the sample was drawn with", hint="restore it from a copy")
    return None if text == b"null\n" else parse_review(text, file=str(path))
