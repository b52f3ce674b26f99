"""The exponential schedule: the threshold falls by the same factor in every round."""

from __future__ import annotations

from pydantic import Field

from autolabel_schedulers.curve import CurveScheduler


class Exponential(CurveScheduler):
    """Fall by equal factors: ``start * (end / start) ** (i / (n - 1))`` in round i of n; fast first, then slowly."""

    name = "exponential"

    class Params(CurveScheduler.Params):
        """The number of rounds and their first and last confidence thresholds, above 0."""

        end: float = Field(gt=0, le=1, description="Confidence threshold of the last round; above 0, at most `start`.")

    params: Params

    def threshold(self, share: float) -> float:
        """Return ``start * (end / start) ** share``."""
        return float(self.params.start * (self.params.end / self.params.start) ** share)
