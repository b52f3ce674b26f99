"""The resources of a run for labelers that ask an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from autolabel.endpoint.budget import Budget
from autolabel.endpoint.kept import Answers


@dataclass(frozen=True, slots=True)
class EndpointAccount:
    """The store of answers and the budget; by default there is neither."""

    answers: Answers = field(default_factory=Answers)
    budget: Budget = field(default_factory=Budget)
