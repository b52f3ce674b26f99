"""The boxes of a run below its thresholds, the cheapest source of missed objects."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autolabel.plan.model import Plan, SizeLimits
from autolabel.results import review as reviews
from autolabel.results.decision import Row, row_of
from autolabel.results.ledger import ledger_of
from autolabel.results.review import Review
from autolabel.results.select import above_threshold, within
from autolabel.results.store import RunStore


@dataclass
class LowScoredBoxes:
    """L boxes that are not exported because of a low score, column by column."""

    rows: list[Row] = field(default_factory=list)
    """The image of each, and which of its captions."""
    scores: array[float] = field(default_factory=lambda: array("d"))
    classes: array[int] = field(default_factory=lambda: array("q"))
    """The place of each one's class among the classes that were given."""
    right: list[bool | None] = field(default_factory=list)
    """A person's decision about each box: decided boxes train the prediction and are not offered again."""


def candidates(
    store: RunStore, plan: Plan, *, classes: Mapping[str, int], thresholds: Mapping[str, float], review: Review | None
) -> LowScoredBoxes:
    """Return the boxes of a run below its thresholds; ``classes`` maps names to indices.

    Images that a person checked or left out have no candidates.
    """
    found = LowScoredBoxes()
    limits = plan.outputs.filter or SizeLimits()
    for labels in ledger_of(store, plan) if thresholds else ():
        if review is not None and (reviews.left_out(labels, review) or reviews.is_checked(labels, review)):
            continue
        low = within(labels, limits) & ~above_threshold(labels, thresholds)
        if not low.any():
            continue
        verdicts = [None] * len(low) if review is None else reviews.verdicts(labels, review)
        for box in np.flatnonzero(low).tolist():
            name = labels.prompt.phrases[int(labels.instances.labels[box])]
            if name not in classes:
                continue
            found.rows.append(row_of(labels))
            found.scores.append(float(labels.instances.scores[box]))
            found.classes.append(classes[name])
            found.right.append(None if verdicts[box] is None else verdicts[box] == "keep")
    return found
