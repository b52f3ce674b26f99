"""Evaluate the boxes that sets of phrases find for a class, merged as in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from autolabel.evaluate.intervals import _LEAST_IMAGES, _LEVELS, draws, weighted_precision
from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.scene import Scene, with_found
from autolabel.phrases.answers import ImageAnswers
from autolabel.run.anneal import Annealing, Search
from autolabel.types import Labels, Prompt
from autolabel.types.ontology import ClassPrompts

Float64 = npt.NDArray[np.float64]
_Int64 = npt.NDArray[np.int64]
Phrases = tuple[str, ...]
_DRAWS = 200


@dataclass(frozen=True, slots=True, eq=False)
class FoundBoxes:
    """D boxes of a class in N images, by descending score."""

    images: _Int64
    scores: Float64
    right: npt.NDArray[np.bool_]
    true: Float64
    """(N,) true objects of each image."""

    def average_precision(self, times: Float64) -> float:
        """Return COCO's average precision, with image n counted ``times[n]`` times; 0 without true objects."""
        table = (self.images, self.right[None], ~self.right[None], self.true)
        return float(np.nan_to_num(weighted_precision(times, table))[0])

    def best_f1(self, times: Float64) -> tuple[float, float | None]:
        """Return the best F1 over thresholds, and its threshold; (0, None) if nothing is right."""
        weight = times[self.images]
        right, kept = np.cumsum(weight * self.right), np.cumsum(weight)
        total = float(times @ self.true)
        if not len(kept) or not total or not right[-1]:
            return 0.0, None
        ends = np.append(self.scores[1:] != self.scores[:-1], True)
        f1 = np.where(ends, 2 * right / (kept + total), 0)
        best = int(f1.argmax())
        return float(f1[best]), float(self.scores[best])

    def better_by(self, other: FoundBoxes) -> tuple[float, float] | None:
        """Return the 95 % interval of the AP difference on the same bootstrap samples; None with one image."""
        if len(self.true) < _LEAST_IMAGES:
            return None
        weights = draws(len(self.true), _DRAWS)
        apart = [self.average_precision(times) - other.average_precision(times) for times in weights]
        low, high = np.percentile(apart, _LEVELS)
        return float(low), float(high)

    def false_alarms(self, threshold: float | None) -> tuple[int, int]:
        """Return the number of wrong boxes at ``threshold``, and the number of images without objects that have one."""
        if threshold is None:
            return 0, 0
        wrong = self.images[~self.right & (self.scores >= threshold)]
        return len(wrong), len(np.unique(wrong[self.true[wrong] == 0]))


@dataclass(frozen=True, slots=True, eq=False)
class ClassJudge:
    """Evaluates sets of phrases for one class on the answers about N images."""

    name: str
    number: int
    """The number of the class in the truth."""
    negatives: Phrases
    annealing: Annealing
    """The annealing of each set: one round at the floor, with the spec's aggregator and looks."""
    rows: Sequence[Labels]
    scenes: Sequence[Scene]
    """The true objects in each row's image."""
    answers: Sequence[ImageAnswers]
    iou: float
    known: dict[Phrases, FoundBoxes] = field(default_factory=dict)

    @property
    def true(self) -> Float64:
        """(N,) true objects of the class in each image, crowds left out."""
        counts = [int(((scene.true.classes == self.number) & ~scene.crowds).sum()) for scene in self.scenes]
        return np.array(counts, np.float64)

    def found(self, phrases: Phrases) -> FoundBoxes:
        """Return the boxes found by a set of phrases, in any order."""
        key = tuple(sorted(phrases))
        if key not in self.known:
            self.known[key] = self.play(key)
        return self.known[key]

    def play(self, phrases: Phrases) -> FoundBoxes:
        """Search every image with these phrases, and match the boxes with the true objects."""
        terms = ClassPrompts(phrases=phrases, negatives=tuple(one for one in self.negatives if one not in phrases))
        annealing = replace(self.annealing, ontology={self.name: terms})
        parts = [self.image(annealing, place) for place in range(len(self.rows))]
        images = np.concatenate([np.full(len(scores), place) for place, (scores, _) in enumerate(parts)])
        scores = np.concatenate([scores for scores, _ in parts])
        order = np.argsort(-scores, kind="stable")
        right = np.concatenate([right for _, right in parts])
        return FoundBoxes(images[order], scores[order], right[order], self.true)

    def image(self, annealing: Annealing, place: int) -> tuple[Float64, npt.NDArray[np.bool_]]:
        """Return the scores of the boxes in one image, without those in crowds, and whether they are right."""
        row, prompt = self.rows[place], Prompt((self.name,))
        search = Search(prompt, row.image.size, annealing, memory=self.answers[place])
        if search.next_query() is not None:
            raise AssertionError("everything that a set of phrases asks was asked before")
        labels = replace(row, prompt=prompt, instances=search.result())
        scene = with_found(self.scenes[place], [labels], lambda phrase: self.number)
        matched = match_boxes(scene, self.iou)
        counts = matched != IGNORED
        return scene.scores[counts], matched[counts] >= 0
