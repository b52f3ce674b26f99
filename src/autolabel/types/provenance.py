"""The provenance of labels: plan, weights, licences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightSource:
    """One weight file of a labeler."""

    labeler: str
    file: str
    sha256: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of a run's labels; empty if unknown."""

    autolabel: str = ""
    """The version that labelled."""
    plan: str = ""
    """The plan's digest: equal digests, equal labels."""
    labelers: tuple[str, ...] = ()
    weights: tuple[WeightSource, ...] = ()
    masks: bool | None = None
    """Whether the run gives masks; None if unknown."""

    given: Mapping[str, Any] = field(default_factory=dict)
    """All parts of a COCO file of given boxes except images and annotations: info, licences, categories and others."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON of what is known: ``autolabel``, ``plan``, ``weights``."""
        fields = {"autolabel": self.autolabel, "plan": self.plan, "weights": [asdict(one) for one in self.weights]}
        return {name: value for name, value in fields.items() if value}

    def __str__(self) -> str:
        """Return one line: labelers, the first digits of the plan's digest, licences."""
        licences = ", ".join(dict.fromkeys(one.licence for one in self.weights))
        parts = ["+".join(self.labelers), self.plan[:12] and f"plan {self.plan[:12]}", licences]
        return " · ".join(part for part in parts if part)
