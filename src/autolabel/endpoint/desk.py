"""The resources of a run for labelers that use an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from autolabel.endpoint.budget import Budget
from autolabel.endpoint.kept import Answers


class NotAsked(Exception):
    """A question has no kept answer, and the server is not to be asked."""


@dataclass(frozen=True, slots=True)
class EndpointAccount:
    """The answer cache and the budget; by default neither."""

    answers: Answers = field(default_factory=Answers)
    budget: Budget = field(default_factory=Budget)
    asks: bool = True
    """Whether the server is asked. If not, a question without a kept answer raises NotAsked."""
