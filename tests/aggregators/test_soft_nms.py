"""Soft-NMS against the paper's loop, written plainly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Round
from autolabel_aggregators.soft_nms import SoftNms

LOW = Round(index=0, conf_threshold=0.05)


def crowd(seed: int, n: int, *, labels: int = 2) -> Instances:
    random = np.random.default_rng(seed)
    low = random.integers(0, 30, (n, 2))
    boxes = np.concatenate([low, low + random.integers(1, 20, (n, 2))], axis=1)
    return Instances.build(boxes, scores=random.permutation(n) / max(n, 1), labels=random.integers(0, labels, n))


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


def reference(found: Instances, params: SoftNms.Params, floor: float) -> dict[int, float]:
    """Return the final score of every box above ``floor``: figure 3 of the paper."""
    final: dict[int, float] = {}
    left = {i: float(score) for i, score in enumerate(found.scores)}
    boxes = found.boxes.tolist()
    while left := {i: score for i, score in left.items() if score > floor}:
        best = max(left, key=lambda i: left[i])
        final[best] = left.pop(best)
        for i in left:
            if found.labels[i] != found.labels[best] and not params.across_labels:
                continue
            ratio = overlap(boxes[i], boxes[best])
            if params.decay == "gaussian":
                left[i] *= math.exp(-(ratio**2) / params.sigma)
            elif ratio > params.threshold:
                left[i] *= 1 - ratio
    return final


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 50),
    decay=st.sampled_from(["linear", "gaussian"]),
    across=st.booleans(),
    width=st.sampled_from([0.1, 0.5]),
)
def test_equals_the_papers_loop(seed: int, n: int, decay: Any, across: bool, width: float) -> None:
    params = SoftNms.Params(decay=decay, across_labels=across, sigma=width, threshold=width)
    found = crowd(seed, n)
    soft = SoftNms(params).aggregate(found, LOW)
    expected = reference(found, params, LOW.conf_threshold)
    assert sorted(soft.scores.tolist()) == pytest.approx(sorted(expected.values()), abs=1e-6)
    assert (np.diff(soft.scores) <= 0).all()
    kept = {tuple(box) for box in soft.boxes.tolist()}
    assert kept == {tuple(found.boxes[i].tolist()) for i in expected}


def test_a_box_falls_with_overlap_and_goes_where_the_round_would_not_let_it_in() -> None:
    found = Instances.build([[0, 0, 10, 10], [0, 0, 10, 8], [40, 0, 50, 10]], scores=[0.9, 0.8, 0.5], labels=[0] * 3)
    soft = SoftNms(SoftNms.Params())
    lowered = 0.8 * math.exp(-(0.8**2) / 0.5)
    assert soft.aggregate(found, LOW).scores.tolist() == pytest.approx([0.9, 0.5, lowered])
    strict = soft.aggregate(found, Round(index=0, conf_threshold=0.3))
    assert strict.scores.tolist() == pytest.approx([0.9, 0.5])


def test_the_round_rules_over_the_threshold_of_linear_and_0_changes_nothing() -> None:
    found = Instances.build([[0, 0, 10, 10], [0, 0, 10, 5]], scores=[0.9, 0.8], labels=[0, 0])
    linear = SoftNms(SoftNms.Params(decay="linear", threshold=0.3))
    assert linear.aggregate(found, LOW).scores.tolist() == pytest.approx([0.9, 0.4])
    lenient = Round(index=0, conf_threshold=0.05, nms_threshold=0.6)
    assert linear.aggregate(found, lenient).scores.tolist() == pytest.approx([0.9, 0.8])
    assert linear.aggregate(found, Round(index=0, conf_threshold=0.05, nms_threshold=0)) is found


@pytest.mark.parametrize("params", [{}, {"decay": "linear"}, {"across_labels": True}])
def test_contract(params: dict[str, Any]) -> None:
    check_aggregator(SoftNms, params)
