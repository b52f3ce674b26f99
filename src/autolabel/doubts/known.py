"""What is known of a run by now: from its certificate's answers where it has one, else from its review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

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
    """The boxes that a run hands out, and what has been said of them and of its images."""

    units: Units
    right: Mapping[int, bool]
    """Whether a box is right, by place, of those that are decided."""
    review: Review | None
    thresholds: Mapping[str, float]
    audit: Audit | None = None
    """The certificate's; None where there is none that holds."""

    @cached_property
    def surroundings(self) -> Surroundings:
        """What lies around the boxes."""
        return Surroundings.of(self.units)

    def _against(self) -> Float64:
        """Return what speaks against each box: its surroundings, and a verifier that denies it, (F, 4)."""
        verdicts = np.frombuffer(self.units.verdicts, np.float64)
        denied = np.where(np.isfinite(verdicts), 1 - verdicts, 0.0)
        return np.column_stack([self.surroundings.against(), denied])

    @property
    def answered(self) -> int:
        """How many boxes are decided."""
        return len(self.right)

    def chance_of_wrong(
        self, scores: Sequence[float] = (), classes: Sequence[int] = (), rejected: Sequence[int] = ()
    ) -> Float64:
        """Return the predicted chance that each box of the run is wrong, and then of more boxes, (F + L,).

        ``scores``, ``classes`` and ``rejected`` (known to be wrong) are those of the others, (L,) each.
        """
        more = len(self.units.scores) + np.flatnonzero(np.asarray(rejected, bool))
        answered = np.concatenate([np.array(sorted(self.right), np.int64), more.astype(np.int64)])
        wrong: npt.NDArray[np.bool_] = np.array([not self.right[box] for box in sorted(self.right)], bool)
        return chance_of_wrong(
            np.concatenate([np.frombuffer(self.units.scores, np.float64), np.asarray(scores, np.float64)]),
            np.concatenate([np.frombuffer(self.units.box_classes, np.int64), np.asarray(classes, np.int64)]),
            answered=answered,
            wrong=np.concatenate([wrong, np.ones(len(more), bool)]),
            against=np.concatenate([self._against(), np.zeros((len(scores), 4))]),
        )


def read_known(store: RunStore, plan: Plan) -> Known:
    """Return what is known of a run."""
    review, thresholds = decided(store), plan.outputs.thresholds or {}
    if begun(store):
        with open_certificate(store.root) as found:
            if found.session is not None and found.changes.holds:
                checks = found.session.checks
                right = {box: verdict == "yes" for box, verdict in checks.boxes.items()}
                limits = found.session.draw["limits"]["thresholds"]
                return Known(units=checks.units, right=right, review=review, thresholds=limits, audit=checks.audit())
    units = population(store, plan, limits=limits_of(plan, None), review=review)
    return Known(units=units, right=dict.fromkeys(units.kept, True), review=review, thresholds=thresholds)
