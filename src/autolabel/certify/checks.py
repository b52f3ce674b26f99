"""The checks of one population: its rounds and answers, and the audits computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from autolabel.certify.answers import Answer, Missed
from autolabel.certify.audit import Audit
from autolabel.certify.evidence import DrawRound, replay
from autolabel.certify.units import Units

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings that are fixed when a certificate is drawn."""

    confidence: float
    cap: int
    """K of the run."""
    caps: tuple[int, ...]
    """K of each class, in the order of the classes."""

    @property
    def risk(self) -> float:
        """The probability that one bound is ever false."""
        return 1 - self.confidence


@dataclass(slots=True)
class Checks:
    """The decisions about a run's boxes and images, by index."""

    units: Units
    settings: Settings
    box_rounds: list[DrawRound] = field(default_factory=list)
    image_rounds: list[DrawRound] = field(default_factory=list)
    boxes: dict[int, str] = field(default_factory=dict)
    """Verdict by box."""
    images: dict[int, tuple[Missed, ...] | None] = field(default_factory=dict)
    """Missed objects by image; None if it cannot be told."""

    def take(self, kind: str, place: int, answer: Answer) -> None:
        """Enter the final answer about a unit."""
        if kind == "b":
            self.boxes[place] = str(answer.verdict)
        else:
            self.images[place] = answer.missed

    def audit(self, place: int | None = None) -> Audit:
        """Return the audit of all boxes and images, or of one class by index."""
        within = None if place is None else self.units.of_class(place)
        boxes = len(self.units.box_keys) if within is None else int(within.sum())
        cap = self.settings.cap if place is None else self.settings.caps[place]
        audit = Audit(boxes, len(self.units.rows), cap=cap, risk=self.settings.risk)
        self._enter_boxes(audit, within)
        counts = {unit: self.missed(one, place, cap) for unit, one in self.images.items()}
        for drawn, missed in replay(self.image_rounds, counts):
            audit.enter_images(missed, drawn=drawn)
        return audit

    def pool(self, places: Sequence[int]) -> Audit:
        """Return the audit of the boxes of several classes together, without images."""
        within = np.isin(np.frombuffer(self.units.box_classes, np.int64), places)
        audit = Audit(int(within.sum()), 0, cap=1, risk=self.settings.risk)
        self._enter_boxes(audit, within)
        return audit

    def _enter_boxes(self, audit: Audit, within: _Mask | None) -> None:
        for drawn, verdicts in replay(self.box_rounds, self.boxes, within):
            audit.enter_boxes((verdict == "yes" for verdict in verdicts), drawn=drawn)

    def missed(self, found: tuple[Missed, ...] | None, place: int | None, cap: int) -> int:
        """Return the number of missed objects; K for "cannot tell".

        For one class, objects of that class count, and those without a class.
        """
        if found is None:
            return cap
        if place is None:
            return len(found)
        name = self.units.classes[place]
        return sum(one.phrase in (None, name) for one in found)

    def removed(self, place: int | None = None) -> int:
        """Return the number of checked boxes that are wrong, which corrected labels do not have."""
        classes = self.units.box_classes
        return sum(verdict == "no" for box, verdict in self.boxes.items() if place is None or classes[box] == place)

    def added(self, cap: int, place: int | None = None) -> int:
        """Return the number of missed objects found (up to K per image), for which corrected labels have a box."""
        return sum(min(self.missed(one, place, cap), cap) for one in self.images.values() if one is not None)

    def beyond(self) -> list[tuple[str, int]]:
        """Return the images with more than K missed objects, and their counts."""
        cap = self.settings.cap
        counts = {unit: len(one) for unit, one in self.images.items() if one is not None and len(one) > cap}
        return [(self.units.rows[unit].image, count) for unit, count in sorted(counts.items())]
