"""The cosine schedule: the threshold falls slowly at both ends, fastest half-way."""

from __future__ import annotations

from math import cos, pi

from autolabel_schedulers.curve import CurveScheduler


class Cosine(CurveScheduler):
    """Fall along half a cosine: ``end + (start - end) * (1 + cos(pi * i / (n - 1))) / 2`` in round i of n.

    The shape of SGDR's learning rate (Loshchilov and Hutter 2017, equation 5).
    """

    name = "cosine"

    def threshold(self, share: float) -> float:
        """Return ``end + (start - end) * (1 + cos(pi * share)) / 2``."""
        return self.params.end + (self.params.start - self.params.end) * (1 + cos(pi * share)) / 2
