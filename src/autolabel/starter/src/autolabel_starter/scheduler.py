"""A scheduler: the confidence threshold of each round."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Scheduler
from autolabel.types import Round
from pydantic import Field


class StarterScheduler(Scheduler):
    """Two rounds, the second at a share of the first one's threshold."""

    name = "starter"

    class Params(Scheduler.Params):
        """The parameters in a spec, beside ``type``."""

        start: float = Field(default=0.5, gt=0, le=1, description="Confidence threshold of the first round.")
        share: float = Field(default=0.5, gt=0, le=1, description="The second threshold as a share of the first.")

    params: Params

    def rounds(self) -> Sequence[Round]:
        """Return the rounds; called once, when the plan is compiled. A threshold may not rise."""
        levels = (self.params.start, self.params.start * self.params.share)
        return [Round(index=index, conf_threshold=level) for index, level in enumerate(levels)]


@hookimpl
def autolabel_schedulers() -> list[type[Scheduler]]:
    """Offer the scheduler."""
    return [StarterScheduler]
