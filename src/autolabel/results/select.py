"""Select the labels to export: decisions, thresholds, size filters and splits applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autolabel.data.split import split_of
from autolabel.duplicates import Groups
from autolabel.plan.model import Plan, SizeLimits, Split
from autolabel.results import review as reviews
from autolabel.results.duplicates import read_groups
from autolabel.results.journal import read_decisions
from autolabel.results.ledger import Ledger, checked_ledger, ledger_of
from autolabel.results.review import Review
from autolabel.results.score_curves import Fit, asked_for, calibrated
from autolabel.results.store import RunStore, finished
from autolabel.spec.thresholds import read_thresholds
from autolabel.storage import Location
from autolabel.types import Labels


def selections(
    store: RunStore, plan: Plan, *, checked: bool = False, decoded: Iterable[Labels] | None = None
) -> Iterator[tuple[str, Ledger]]:
    """Yield each split's name with its labels; one nameless split where the spec asks for none.

    With ``checked``, only the rows that a person has checked as a whole. ``decoded`` are the rows of the ledger, to be
    taken in place of the file's.
    """
    review = read_decisions(store)
    change = partial(
        handed_out,
        limits=plan.outputs.filter,
        thresholds=plan.outputs.thresholds,
        review=review,
        classes=plan.manifest.classes,
        fit=asked_for(store, plan),
    )
    for split, belongs_to in _splits(plan.outputs.split, read_groups(store, plan) if plan.outputs.split else Groups()):
        yield (
            split,
            ledger_of(
                store,
                plan,
                keep=partial(_kept, belongs_to, review, checked=checked),
                change=change,
                image_path=plan.manifest.image_path,
                decoded=decoded,
            ),
        )


def measured(
    run: Location, *, raw: bool = False, reviewed: bool = True, thresholds: Path | None = None
) -> tuple[Ledger, str]:
    """Return the labels of a finished run to measure, and a description of them.

    By default the exported labels: decisions applied, above the thresholds, within the size filters. ``raw`` returns
    the models' own labels; ``reviewed=False`` only ignores decisions; ``thresholds`` replace those of the spec.
    """
    store, plan = finished(run)
    if raw:
        return checked_ledger(store, plan), "what the models said"
    limits, least = plan.outputs.filter, plan.outputs.thresholds
    if thresholds is not None:
        least = read_thresholds(thresholds, classes=plan.manifest.classes)
    review = read_decisions(store) if reviewed else None
    parts = [f"{len(review.decisions)} decisions applied"] if review is not None and review.decisions else []
    parts += ["before any decision"] if not reviewed else []
    parts += [f"above thresholds of {len(least)} classes"] if least else []
    parts += ["within the size filters"] if limits else []
    change = partial(handed_out, limits=limits, thresholds=least, review=review, classes=plan.manifest.classes)
    ledger = checked_ledger(store, plan, keep=partial(_kept, None, review), change=change)
    return ledger, "the exported labels" + (f": {', '.join(parts)}" if parts else "")


def _kept(
    belongs_to: Callable[[Labels], bool] | None, review: Review | None, labels: Labels, *, checked: bool = False
) -> bool:
    """Return whether a row is exported: it belongs to the split, is not rejected, and is checked if required."""
    if belongs_to is not None and not belongs_to(labels):
        return False
    if checked and (review is None or not reviews.is_checked(labels, review)):
        return False
    return review is None or not reviews.left_out(labels, review)


def handed_out(
    labels: Labels,
    *,
    limits: SizeLimits | None,
    thresholds: Mapping[str, float] | None,
    review: Review | None,
    classes: Sequence[str] = (),
    fit: Fit | None = None,
) -> Labels:
    """Return a row as exporters get it: ``changed``, boxes clipped to the image, scores calibrated by ``fit``."""
    kept = changed(labels, limits=limits, thresholds=thresholds, review=review, classes=classes)
    return calibrated(kept.inside(), fit)


def changed(
    labels: Labels,
    *,
    limits: SizeLimits | None,
    thresholds: Mapping[str, float] | None,
    review: Review | None,
    classes: Sequence[str] = (),
) -> Labels:
    """Return a row with decisions applied and the spec's filters; boxes that a person kept always stay."""
    by_hand = np.zeros(len(labels.instances), bool)
    if review is not None:
        labels, by_hand = reviews.apply_protected(labels, review, classes=classes)
    if not limits and not thresholds:
        return labels
    keep = by_hand | (within(labels, limits or SizeLimits()) & above_threshold(labels, thresholds or {}))
    return replace(labels, instances=labels.instances.take(keep))


def sure(labels: Labels, *, thresholds: Mapping[str, float], review: Review | None) -> Labels:
    """Return a row without the boxes below the thresholds; boxes that a person kept always stay."""
    keep = above_threshold(labels, thresholds)
    if review is not None:
        keep |= reviews.protected(labels, review)
    return replace(labels, instances=labels.instances.take(keep))


def _splits(split: Split | None, groups: Groups) -> Iterator[tuple[str, Callable[[Labels], bool] | None]]:
    """Yield each split's name with its membership test; one nameless split if the spec has no splits."""
    if split is None:
        yield "", None
        return
    for name in split.fractions:
        yield name, partial(_belongs, name, split, groups)


def _belongs(name: str, split: Split, groups: Groups, labels: Labels) -> bool:
    """Return whether an image belongs to the split ``name``; near-duplicates belong to the split of the first one."""
    return split_of(groups.key(labels.image.id), fractions=split.fractions, seed=split.seed) == name


def within(labels: Labels, limits: SizeLimits) -> npt.NDArray[np.bool_]:
    """Return which boxes are within the limits: sides in pixels, area as a share of the image."""
    boxes = labels.instances.boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    height, width = labels.image.size
    share = sides.prod(axis=1) / max(1, height * width)
    keep = np.ones(len(boxes), bool)
    keep &= sides.min(axis=1, initial=np.inf) >= (limits.min_size or 0)
    keep &= sides.max(axis=1, initial=0) <= (np.inf if limits.max_size is None else limits.max_size)
    keep &= share >= (limits.min_area or 0)
    keep &= share <= (1 if limits.max_area is None else limits.max_area)
    return keep


def above_threshold(labels: Labels, thresholds: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """Return which boxes reach the threshold of their class; a class without threshold passes."""
    least = np.array([thresholds.get(phrase, 0) for phrase in labels.prompt.phrases], np.float32)
    found = labels.instances
    return found.scores >= least[found.labels] if len(found) else np.ones(0, bool)
