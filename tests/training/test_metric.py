"""Average precision against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autolabel_training.metric import (
    Detections,
    OperatingPoint,
    average_precision,
    best_point,
    bootstrap_intervals,
    bootstrap_mean,
    judge,
    mean_average_precision,
)
from training.detector.checkpoint import phrase_spans

LEFT, RIGHT, NOWHERE = [0.0, 0.0, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9], [0.0, 0.6, 0.3, 0.9]


def _answers(boxes: list[list[float]], scores: list[float], truth: list[list[float]]) -> Detections:
    return Detections(np.array(boxes).reshape(-1, 4), np.array(scores), np.array(truth).reshape(-1, 4))


def test_a_duplicate_costs_precision_unless_suppressed() -> None:
    answers = _answers([LEFT, LEFT, RIGHT], [0.9, 0.8, 0.7], [LEFT, RIGHT])
    assert average_precision([judge(answers, 0.5)]) == pytest.approx(1.0)
    # hit, miss, hit: recall 1/2 at precision 1, then recall 1 at precision 2/3.
    assert average_precision([judge(answers, 1.0)]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_false_positives_of_an_image_without_truth_count() -> None:
    right = judge(_answers([LEFT], [0.5], [LEFT]), 0.5)
    wrong = judge(_answers([NOWHERE], [0.9], []), 0.5)
    assert average_precision([right, wrong]) == pytest.approx(0.5)


def test_mean_leaves_out_phrases_without_truth() -> None:
    image = {"cell": judge(_answers([LEFT], [0.5], [LEFT]), 0.5), "star": judge(_answers([LEFT], [0.5], []), 0.5)}
    values = mean_average_precision([image])
    assert values == {"mean": 1.0, "cell": 1.0}


def test_the_best_point_leaves_out_the_low_miss() -> None:
    image = {"cell": judge(_answers([LEFT, RIGHT, NOWHERE], [0.9, 0.6, 0.2], [LEFT, RIGHT]), 0.5)}
    assert best_point([image]) == OperatingPoint(0.6, 1.0, 1.0)


def test_the_interval_holds_the_value() -> None:
    right = {"cell": judge(_answers([LEFT], [0.5], [LEFT]), 0.5)}
    wrong = {"cell": judge(_answers([NOWHERE], [0.4], [LEFT]), 0.5)}
    intervals = bootstrap_intervals([right, wrong] * 5, draws=200, seed=0, of=mean_average_precision)
    assert intervals.keys() == {"mean", "cell"}
    low, high = intervals["cell"]
    assert 0 < low < 0.5 < high < 1


def test_the_interval_of_a_mean() -> None:
    mean, (low, high) = bootstrap_mean([0, 4] * 50, draws=500, seed=0)
    assert mean == 2
    # The standard error of 100 draws with deviation 2 is 0.2.
    assert low == pytest.approx(2 - 1.96 * 0.2, abs=0.1)
    assert high == pytest.approx(2 + 1.96 * 0.2, abs=0.1)


def test_duplicates_are_suppressed_before_boxes_are_matched() -> None:
    twice = Detections(np.array([LEFT, LEFT, RIGHT]), np.array([0.2, 0.9, 0.5]), np.array([LEFT]))
    assert judge(twice, 0.5).scores.tolist() == [0.9, 0.5]
    assert judge(twice, 1.0).scores.tolist() == [0.9, 0.5, 0.2]
    assert judge(twice, 1.0).hits.tolist() == [True, False, False]


def test_phrase_spans_lie_between_delimiters() -> None:
    assert phrase_spans([101, 2417, 2668, 1012, 5127, 1012, 102]) == [[1, 2], [4]]
