"""One round of confidence annealing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A literal round of a plan.

    ``nms_threshold``: None leaves the aggregator's own parameter in force; 0 means no suppression (TAO's meaning).
    """

    index: int
    conf_threshold: float
    nms_threshold: float | None = None
