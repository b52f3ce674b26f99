"""The resources of a run for labelers that use an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from autolabel.endpoint.budget import Budget
from autolabel.endpoint.kept import Answers


@dataclass(frozen=True, slots=True)
class EndpointAccount:
    """The answer cache and the budget; by default neither."""

    answers: Answers = field(default_factory=Answers)
    budget: Budget = field(default_factory=Budget)
