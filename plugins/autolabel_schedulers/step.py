"""The step schedule: the threshold falls by the same amount in every round."""

from __future__ import annotations

from autolabel_schedulers.curve import CurveScheduler


class Step(CurveScheduler):
    """Fall in equal steps: ``start + (end - start) * i / (n - 1)`` in round i of n."""

    name = "step"

    def threshold(self, share: float) -> float:
        """Return ``start + (end - start) * share``."""
        return self.params.start + (self.params.end - self.params.start) * share
