"""The figures of a set: pooled phrases, intervals, and detections of what is not there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autolabel_training.metric import Detections
from training.detector.evaluate import figures, report

LEFT, RIGHT, NOWHERE = [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.0, 0.6, 0.3, 0.9]


def answers(boxes: list[list[float]], scores: list[float], truth: list[list[float]]) -> Detections:
    return Detections(np.array(boxes).reshape(-1, 4), np.array(scores), np.array(truth).reshape(-1, 4))


def test_detections_of_what_is_not_there_are_counted_per_picture() -> None:
    pictures = [
        {"fig": answers([LEFT], [0.9], [LEFT]), "date": answers([RIGHT, NOWHERE], [0.5, 0.2], [])},
        {"fig": answers([LEFT], [0.9], [LEFT]), "date": answers([RIGHT], [0.1], [])},
        {"fig": answers([LEFT, NOWHERE], [0.9, 0.8], [LEFT]), "date": answers([RIGHT], [0.6], [RIGHT])},
    ]
    found = figures("nuts", pictures, threshold=0.3).false_alarms
    assert found is not None
    # The third picture shows both phrases, so it is not asked; the miss of "fig" there is no false alarm of this kind.
    assert (found.pictures, found.per_picture) == (2, 0.5)


def test_scenes_are_judged_over_all_phrases_together() -> None:
    picture = {"red star": answers([LEFT], [0.5], [LEFT]), "blue star": answers([LEFT], [0.9], [])}
    result = figures("scenes", [picture], threshold=0.3)
    assert result.classes == {"phrase": pytest.approx(0.5)}
    assert result.boxes == 1 and result.map50 == pytest.approx(0.5)
    assert figures("nuts", [picture], threshold=0.3).map50 == 1


def test_a_set_without_true_boxes_has_false_alarms_only() -> None:
    result = figures("absent", [{"platelet": answers([LEFT, LEFT, RIGHT], [0.9, 0.8, 0.7], [])}], threshold=0.3)
    assert result.best_point is None
    assert math.isnan(result.map50)
    assert result.false_alarms is not None
    assert result.false_alarms.per_picture == 2  # one of the three is suppressed
    assert report(result) == (
        "absent: 1 images, 0 boxes\n"
        "  phrases not shown, score >= 0.3: 2.00 [2.000, 2.000] detections a picture, over 1 pictures"
    )
