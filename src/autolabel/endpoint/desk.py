"""What a run puts at the disposal of labelers that ask an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field

from autolabel.endpoint.budget import Budget
from autolabel.endpoint.kept import Answers


@dataclass(frozen=True, slots=True)
class EndpointAccount:
    """Where answers are kept, and what may be spent; by itself, nothing is kept and nothing limited."""

    answers: Answers = field(default_factory=Answers)
    budget: Budget = field(default_factory=Budget)
