"""Code shared by schedules that follow a formula: parameters, end points, rounding."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from pydantic import Field, ValidationInfo, field_validator

from autolabel.strategies import Scheduler
from autolabel.types import Round

_DECIMALS = 6


class CurveScheduler(Scheduler):
    """A schedule given by a formula between two thresholds."""

    class Params(Scheduler.Params):
        """The number of rounds and their first and last confidence thresholds."""

        rounds: int = Field(ge=1, le=1000, description="How many rounds.")
        start: float = Field(ge=0, le=1, description="Confidence threshold of the first round.")
        end: float = Field(ge=0, le=1, description="Confidence threshold of the last round; at most `start`.")
        nms_threshold: float | None = Field(
            default=None,
            ge=0,
            le=1,
            description="Replaces the aggregator's own threshold in every round; 0: no suppression.",
        )

        @field_validator("end")
        @classmethod
        def _falls(cls, end: float, info: ValidationInfo) -> float:
            start = info.data.get("start", 1.0)
            if end > start:
                raise ValueError(f"{end} is above start, {start}: a threshold may not rise from round to round")
            return end

    params: Params

    @abstractmethod
    def threshold(self, share: float) -> float:
        """Return the threshold after a ``share`` of the way: 0 in the first round, 1 in the last."""

    def rounds(self) -> Sequence[Round]:
        """Return the rounds; end points are exact, thresholds between them are rounded to 6 decimals.

        Round i of n is ``threshold(i / (n - 1))``; a single round is at ``start``.
        """
        levels = [self.params.start]
        last = self.params.rounds - 1
        for index in range(1, last):
            level = round(self.threshold(index / last), _DECIMALS)
            levels.append(max(min(level, levels[-1]), self.params.end))
        levels += [self.params.end] * (last > 0)
        nms = self.params.nms_threshold
        return tuple(Round(index=i, conf_threshold=level, nms_threshold=nms) for i, level in enumerate(levels))
