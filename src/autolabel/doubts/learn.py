"""Learn the probability that a box is an error, from planted errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.doubts.evidence import Bools, Evidence, Float64, Int64, UsualSizes, gather_evidence, scores_at
from autolabel.doubts.planting import lies_bare, plant
from autolabel.evaluate.scene import Scene

_FOLDS = 5
_ROUNDS = 8
"""The most times that errors are planted in every image."""
_MOST_BOXES = 200_000
"""Labelled boxes to learn from, all rounds together."""
_FEWEST = 10
"""With fewer planted errors, only scores order the boxes."""
_SEED = 0

_Model = Callable[[Float64], Float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorChances:
    """The error probabilities of the boxes of a scene."""

    labelled: Float64
    """(T,) of the labelled boxes."""
    missing: Float64
    """(M,) of the found boxes that nothing claims: that the labels lack them."""


def learn_chances(scenes: Sequence[Scene], evidence: Sequence[Evidence], classes: int) -> list[ErrorChances]:
    """Return the error probabilities of the boxes of every scene.

    Errors are planted in copies of the scenes, and a logistic regression learns to separate them from the other boxes.
    Predictions are cross-validated over images. Existing errors are few compared with the planted ones, so their
    influence is small. With too little data, the doubt about a labelled box falls with its score, and that about an
    unlabelled detection rises with its score.
    """
    if not scenes:
        return []
    sizes = UsualSizes.over(scenes)
    fold = np.random.default_rng(_SEED).permutation(len(scenes)) % _FOLDS
    learnt = _planted(scenes, sizes, classes)
    out: list[ErrorChances | None] = [None] * len(scenes)
    for number in range(min(_FOLDS, len(scenes))):
        labelled, missing = (_fit(part, fold[part.images] != number) for part in learnt)
        for place in np.flatnonzero(fold == number).tolist():
            scene, known = scenes[place], evidence[place]
            own = scores_at(known.claimed, scene.scores)
            sure = scene.scores[known.open]
            own_columns = _with_class(known.labelled, scene.true.classes, classes)
            open_columns = _with_class(known.found, scene.found.classes[known.open], classes)
            out[place] = ErrorChances(
                labelled=1 - own if labelled is None else labelled(own_columns),
                missing=sure if missing is None else missing(open_columns),
            )
    return [one for one in out if one is not None]


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """N examples."""

    columns: Float64
    wrong: Bools
    images: Int64


def _planted(scenes: Sequence[Scene], sizes: UsualSizes, classes: int) -> tuple[_Learnt, _Learnt]:
    """Plant errors in the scenes, or in a sample of very many; return examples of both kinds."""
    random = np.random.default_rng(_SEED)
    boxes = max(1, sum(len(scene.true) for scene in scenes))
    rounds = max(1, min(_ROUNDS, _MOST_BOXES // boxes))
    taken = min(len(scenes), max(_FOLDS, int(len(scenes) * _MOST_BOXES / (boxes * rounds))))
    places = np.sort(random.permutation(len(scenes))[:taken]).tolist()
    labelled: list[tuple[Float64, Bools, Int64]] = []
    found: list[tuple[Float64, Bools, Int64]] = []
    for _ in range(rounds):
        for place in places:
            made = plant(scenes[place], classes, random)
            scene, known = made.scene, gather_evidence(made.scene, sizes)
            open_boxes, open_classes = scene.found.boxes[known.open], scene.found.classes[known.open]
            bare = lies_bare(made, open_boxes, open_classes)
            labelled.append(_example(_with_class(known.labelled, scene.true.classes, classes), made.wrong, place))
            found.append(_example(_with_class(known.found, open_classes, classes), bare, place))
    return _joined(labelled), _joined(found)


def _example(columns: Float64, wrong: Bools, place: int) -> tuple[Float64, Bools, Int64]:
    return columns, wrong, np.full(len(wrong), place, np.int64)


def _joined(parts: Sequence[tuple[Float64, Bools, Int64]]) -> _Learnt:
    columns, wrong, images = zip(*parts, strict=True)
    return _Learnt(np.concatenate(columns), np.concatenate(wrong), np.concatenate(images))


def _with_class(columns: Float64, numbers: Int64, classes: int) -> Float64:
    """Return columns with an indicator column for each class."""
    return np.concatenate([columns, (numbers[:, None] == np.arange(classes)[None, :]).astype(np.float64)], axis=1)


def _fit(learnt: _Learnt, chosen: Bools) -> _Model | None:
    """Fit the classifier; None if there are too few examples of either kind."""
    columns, wrong = learnt.columns[chosen], learnt.wrong[chosen]
    if min(int(wrong.sum()), int((~wrong).sum())) < _FEWEST:
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=500)).fit(columns, wrong)

    def chance(values: Float64) -> Float64:
        if not len(values):
            return np.zeros(0)
        out: Float64 = model.predict_proba(values)[:, 1]
        return out

    return chance
