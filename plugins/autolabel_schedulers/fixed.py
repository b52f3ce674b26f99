"""The fixed schedule: an explicit list of thresholds, like TAO's ``iteration_scheduler``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field, field_validator

from autolabel.strategies import Scheduler
from autolabel.types import Round


class Level(BaseModel):
    """The thresholds of one round."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    conf_threshold: float = Field(ge=0, le=1, description="Boxes that score above it enter in this round.")
    nms_threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Replaces the aggregator's own threshold in this round; 0: no suppression.",
    )


class Fixed(Scheduler):
    """Take each round's thresholds from a list; a threshold may repeat, but not rise."""

    name = "fixed"

    class Params(Scheduler.Params):
        """The thresholds of every round."""

        rounds: tuple[Level, ...] = Field(min_length=1, description="Thresholds of each round, first round first.")

        @field_validator("rounds")
        @classmethod
        def _falls(cls, rounds: tuple[Level, ...]) -> tuple[Level, ...]:
            for i, (before, after) in enumerate(pairwise(rounds), start=1):
                if after.conf_threshold > before.conf_threshold:
                    raise ValueError(
                        f"round {i} has conf_threshold {after.conf_threshold}, above the {before.conf_threshold} of "
                        f"round {i - 1}: a threshold may not rise, since its boxes would all be in an earlier round"
                    )
            return rounds

    params: Params

    def rounds(self) -> Sequence[Round]:
        """Return the list as rounds."""
        return tuple(
            Round(index=i, conf_threshold=level.conf_threshold, nms_threshold=level.nms_threshold)
            for i, level in enumerate(self.params.rounds)
        )
