"""Select what of the ledger is exported: a split of the images, without what a person or the spec leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.data.split import split_of
from autolabel.plan.model import Plan
from autolabel.results import review as reviews
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import Ledger, checked_ledger, ledger_of
from autolabel.results.review import Review
from autolabel.results.store import RunStore, finished
from autolabel.spec.thresholds import read_thresholds
from autolabel.storage import Location
from autolabel.types import Labels


def selections(store: RunStore, plan: Plan) -> Iterator[tuple[str, Ledger]]:
    """Yield each split's name with its labels; one nameless split where the spec asks for none."""
    review = read_decisions(store)
    change = partial(handed_out, output=plan.output, review=review, classes=plan.classes)
    for split, belongs_to in splits(plan.output.get("split")):
        yield (
            split,
            ledger_of(store, plan, keep=partial(kept, belongs_to, review), change=change, place_of=plan.place_of),
        )


def sure_labels(run: Location, thresholds: Path) -> Ledger:
    """Return the labels of a finished run that reach the thresholds of a file."""
    store, plan = finished(run)
    least = read_thresholds(thresholds, classes=plan.classes)
    return checked_ledger(store, plan, change=partial(sure, thresholds=least, review=None))


def kept(belongs_to: Callable[[Labels], bool] | None, review: Review | None, labels: Labels) -> bool:
    """Return whether a row is exported: it belongs to the split, and nobody rejected it."""
    if belongs_to is not None and not belongs_to(labels):
        return False
    return review is None or not reviews.left_out(labels, review)


def handed_out(
    labels: Labels, *, output: Mapping[str, Any], review: Review | None, classes: Sequence[str] = ()
) -> Labels:
    """Return a row as exporters get it: ``changed``, with its boxes inside the image."""
    return changed(labels, output=output, review=review, classes=classes).inside()


def changed(labels: Labels, *, output: Mapping[str, Any], review: Review | None, classes: Sequence[str] = ()) -> Labels:
    """Return a row as a person decided, without the boxes that the spec leaves out; what was kept by hand stays."""
    by_hand = np.zeros(len(labels.instances), bool)
    if review is not None:
        labels, by_hand = reviews.apply_protected(labels, review, classes=classes)
    limits, thresholds = output.get("filter") or {}, output.get("thresholds") or {}
    if not limits and not thresholds:
        return labels
    keep = by_hand | (within(labels, limits) & above(labels, thresholds))
    return replace(labels, instances=labels.instances.take(keep))


def sure(labels: Labels, *, thresholds: Mapping[str, float], review: Review | None) -> Labels:
    """Return a row as the models said, without the boxes that score too little; what was kept by hand stays."""
    keep = above(labels, thresholds)
    if review is not None:
        keep |= reviews.protected(labels, review)
    return replace(labels, instances=labels.instances.take(keep))


def splits(split: Mapping[str, Any] | None) -> Iterator[tuple[str, Callable[[Labels], bool] | None]]:
    """Yield each split's name with what decides who belongs to it; one nameless split where there is none."""
    if not split:
        yield "", None
        return
    seed = split.get("seed", 0)
    fractions = {name: float(share) for name, share in split.items() if name != "seed"}
    for name in fractions:
        yield name, partial(belongs, name, fractions, seed)


def belongs(name: str, fractions: Mapping[str, float], seed: int, labels: Labels) -> bool:
    """Return whether an image belongs to the split ``name``."""
    return split_of(labels.image.id, fractions=fractions, seed=seed) == name


def within(labels: Labels, limits: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return which boxes keep to the limits: sides in pixels, area as a share of the image."""
    boxes = labels.instances.boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    height, width = labels.image.size
    share = sides.prod(axis=1) / max(1, height * width)
    keep = np.ones(len(boxes), bool)
    keep &= sides.min(axis=1, initial=np.inf) >= limits.get("min_size", 0)
    keep &= sides.max(axis=1, initial=0) <= limits.get("max_size", np.inf)
    keep &= share >= limits.get("min_area", 0)
    keep &= share <= limits.get("max_area", 1)
    return keep


def above(labels: Labels, thresholds: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """Return which boxes score at least what is asked of their class; one without threshold passes."""
    least = np.array([thresholds.get(phrase, 0) for phrase in labels.prompt.phrases], np.float32)
    found = labels.instances
    return found.scores >= least[found.labels] if len(found) else np.ones(0, bool)
