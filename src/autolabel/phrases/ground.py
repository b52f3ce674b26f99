"""The checked images with their true objects, for evaluating wordings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from autolabel.detectors import Looks
from autolabel.errors import DataError
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import normalized_name as plain_name
from autolabel.phrases.answers import ImageAnswers
from autolabel.phrases.choose import Chooser
from autolabel.phrases.comparison import ClassComparison, Wording
from autolabel.phrases.judged import ClassJudge, Float64, Phrases
from autolabel.phrases.propose import Origin, Proposal
from autolabel.run.anneal import Annealing
from autolabel.types import Labels
from autolabel.types.ontology import Ontology, _terms_of

Answers = Mapping[int, ImageAnswers | Exception]
"""By the place of an image among the rows: what was answered about it, or what made it fail."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """N checked images, and the evaluation settings."""

    rows: Sequence[Labels]
    scenes: Mapping[str, Scene]
    """The true objects of each image."""
    numbers: Mapping[str, int]
    """The number of each class of the truth, by its normalised name."""
    ontology: Ontology
    """The current phrases of the spec."""
    annealing: Annealing
    iou: float

    def judge(self, name: str, answers: Answers) -> ClassJudge:
        """Return the evaluator of a class on the images with answers; raises DataError if there are none."""
        answered = {place: one for place, one in sorted(answers.items()) if isinstance(one, ImageAnswers)}
        if not answered:
            first = next((f": {one}" for one in answers.values() if isinstance(one, Exception)), "")
            raise DataError(f"the detector failed on all checked images{first}")
        return ClassJudge(
            name=name,
            number=self.numbers[plain_name(name)],
            negatives=_terms_of(name, self.ontology).negatives,
            annealing=self.annealing,
            rows=[self.rows[place] for place in answered],
            scenes=[self.scenes[self.rows[place].image.id] for place in answered],
            answers=list(answered.values()),
            iou=self.iou,
        )

    def compare(self, name: str, proposals: Iterable[Proposal], answers: Answers) -> ClassComparison:
        """Evaluate every wording of a class, and choose."""
        judge = self.judge(name, answers)
        origins = {one.phrase: one.origin for one in proposals}
        others = tuple(phrase for phrase, origin in origins.items() if origin != "today")
        chooser = Chooser(judge, _terms_of(name, self.ontology).phrases, others)
        once = np.ones(len(judge.rows))
        winner = chooser.choose(once)
        listed = [*chooser.singles(), *chooser.unions(once)]
        wordings = [_wording(chooser, one, origins, once) for one in listed]
        order = sorted(range(len(listed)), key=lambda place: (-wordings[place].ap, place))
        place = next(place for place in order if set(listed[place]) == set(winner))
        best, true = wordings[place], judge.true
        penalty, stable = (None, None) if best.today or not true.any() else chooser.penalty(winner)
        return ClassComparison(
            name=name,
            true=int(true.sum()),
            images=int((true > 0).sum()),
            wordings=tuple(wordings[place] for place in order),
            winner=order.index(place),
            penalty=penalty,
            stable=stable,
            better=above(best.against_today, penalty),
        )


def _wording(chooser: Chooser, phrases: Phrases, origins: Mapping[str, Origin], once: Float64) -> Wording:
    """Measure one phrase, or several together."""
    found = chooser.judge.found(phrases)
    f1, threshold = found.best_f1(once)
    wrong, empty = found.false_alarms(threshold)
    today = set(phrases) == set(chooser.today)
    return Wording(
        phrases=phrases,
        origin=origins.get(phrases[0]) if len(phrases) == 1 else None,
        today=today,
        ap=found.average_precision(once),
        against_today=None if today else chooser.against_today(phrases),
        f1=f1,
        threshold=threshold,
        false_alarms=wrong,
        alarms_in_empty=empty,
    )


def above(bounds: tuple[float, float] | None, penalty: float | None) -> bool:
    """Return whether an interval minus the penalty lies above 0."""
    return bounds is not None and penalty is not None and bounds[0] - penalty > 0


def played(annealing: Annealing, floor: float) -> Annealing:
    """Return the annealing for evaluating a wording: one round at the floor, with all looks."""
    looks = Looks(annealing.looks.names, annealing.looks.agreement)
    last = replace(annealing.rounds[-1], index=0, conf_threshold=floor)
    return replace(annealing, rounds=[last], ask="all", looks=looks)
