"""The checked boxes and images of a run, from its certificate, or from its review if it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autolabel.certify.audit import Audit
from autolabel.certify.opening import begun, open_certificate
from autolabel.certify.population import decided, limits_of, population
from autolabel.certify.repair import Float64, chance_of_wrong
from autolabel.certify.units import Units
from autolabel.doubts.surroundings import Surroundings
from autolabel.plan.model import Plan
from autolabel.results.review import Review
from autolabel.results.store import RunStore


@dataclass(frozen=True, kw_only=True)
class Known:
    """The exported boxes of a run, with the answers about them and about its images."""

    units: Units
    right: Mapping[int, bool]
    """Whether a box is right, by place, of those that are decided."""
    review: Review | None
    thresholds: Mapping[str, float]
    audit: Audit | None = None
    """The certificate's; None if there is none. Where labels changed since, it speaks of them as they were."""
    missed: tuple[int, ...] = ()
    """Missed objects of the images that were looked at for it, up to K each."""
    holds: bool = False
    """Whether the labels are those of the certificate."""

    @cached_property
    def surroundings(self) -> Surroundings:
        """The surroundings of the boxes."""
        return Surroundings.of(self.units)

    def _against(self) -> Float64:
        """Return the evidence against each box: its surroundings, and a low verdict, (F, 4)."""
        verdicts = np.frombuffer(self.units.verdicts, np.float64)
        denied = np.where(np.isfinite(verdicts), 1 - verdicts, 0.0)
        return np.column_stack([self.surroundings.against(), denied])

    @property
    def answered(self) -> int:
        """The number of decided boxes."""
        return len(self.right)

    def chance_of_wrong(self) -> Float64:
        """Return the predicted probability that each box of the run is wrong, (F,)."""
        answered = sorted(self.right)
        return chance_of_wrong(
            np.frombuffer(self.units.scores, np.float64),
            np.frombuffer(self.units.box_classes, np.int64),
            answered=np.array(answered, np.int64),
            wrong=np.array([not self.right[box] for box in answered], bool),
            against=self._against(),
        )


def read_known(store: RunStore, plan: Plan) -> Known:
    """Read the answers about a run."""
    review = decided(store)
    by_review = _of_review(store, plan, review)
    if not begun(store):
        return by_review
    with open_certificate(store.root) as found:
        session = found.session
        if session is None:
            return by_review
        checks, cap = session.checks, session.checks.settings.cap
        places = {session.place(name) for name in session.book.standing()}
        looked = [checks.images[place[1]] for place in places if place is not None and place[0] == "i"]
        missed = tuple(sorted(min(cap, checks.missed(one, None, cap)) for one in looked))
        known = replace(by_review, audit=checks.audit(), missed=missed)
        if not found.changes.holds:
            return known
        right = {box: verdict == "yes" for box, verdict in checks.boxes.items()}
        limits = session.draw["limits"]["thresholds"]
        return replace(known, units=checks.units, right=right, thresholds=limits, holds=True)


def _of_review(store: RunStore, plan: Plan, review: Review | None) -> Known:
    """Read the answers from a review alone."""
    units = population(store, plan, limits=limits_of(plan, None), review=review)
    thresholds = plan.outputs.thresholds or {}
    return Known(units=units, right=dict.fromkeys(units.kept, True), review=review, thresholds=thresholds)
