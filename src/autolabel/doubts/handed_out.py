"""Rank the exported labels of a run, without a truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autolabel.certify.population import decided
from autolabel.certify.units import Units
from autolabel.doubts.doubt import Kind, LabelDoubt, SeenObject
from autolabel.doubts.evidence import ODD, Bools
from autolabel.doubts.known import Known
from autolabel.plan.model import Plan, SizeLimits
from autolabel.results.ledger import ledger_of
from autolabel.results.review import Review, is_checked, left_out, verdicts
from autolabel.results.select import above_threshold, within
from autolabel.results.store import RunStore
from autolabel.types import Labels


def doubts_of(known: Known) -> Iterator[LabelDoubt]:
    """Yield the doubtful ones of the exported boxes without a decision."""
    units, around, wrong = known.units, known.surroundings, known.chance_of_wrong()
    for place in range(len(units.box_keys)):
        if place not in known.right:
            row, clash = units.rows[units.box_rows[place]], int(around.clash[place])
            kind: Kind = "overlap" if clash >= 0 else "size" if around.odd[place] >= ODD else "unsupported"
            yield LabelDoubt(
                image=row.image,
                caption_index=row.caption_index,
                kind=kind,
                chance=round(float(wrong[place]), 6),
                score=units.scores[place],
                seen=None if clash < 0 else SeenObject(**_box(units, clash), score=units.scores[clash]),
                **_box(units, place),
            )


def _box(units: Units, place: int) -> dict[str, Any]:
    x1, y1, x2, y2 = units.corners[4 * place : 4 * place + 4]
    return {"phrase": units.classes[units.box_classes[place]], "bbox": (x1, y1, x2, y2)}


def held_back(store: RunStore, plan: Plan) -> Iterator[LabelDoubt]:
    """Yield the undecided boxes that thresholds and size filters leave out, as possibly missing objects."""
    limits, least = plan.outputs.filter, plan.outputs.thresholds
    review = decided(store)
    if not limits and not least:
        return
    for row in ledger_of(store, plan):
        if review is None or not (left_out(row, review) or is_checked(row, review)):
            yield from _missing(row, ~(within(row, limits or SizeLimits()) & above_threshold(row, least or {})), review)


def _missing(row: Labels, out: Bools, review: Review | None) -> Iterator[LabelDoubt]:
    if review is not None:
        out = out & np.array([verdict is None for verdict in verdicts(row, review)], bool)
    found = row.instances
    for place in np.flatnonzero(out).tolist():
        x1, y1, x2, y2 = found.boxes[place].astype(np.float64).round(3).tolist()
        score = round(float(found.scores[place]), 6)
        yield LabelDoubt(
            image=row.image.id,
            caption_index=row.caption_index,
            kind="missing",
            chance=score,
            phrase=row.prompt.phrases[found.labels[place]],
            bbox=(x1, y1, x2, y2),
            score=score,
        )
