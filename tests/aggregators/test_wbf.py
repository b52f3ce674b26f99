"""Weighted box fusion against the paper's steps, written plainly, and against ensemble-boxes where installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Round
from autolabel.types.boxes import iou
from autolabel_aggregators.wbf import Wbf

OWN = Round(index=0, conf_threshold=0.5)


def crowd(seed: int, n: int, *, labels: int = 2) -> Instances:
    random = np.random.default_rng(seed)
    centres = random.uniform(40, 100, (max(1, n // 5), 2))
    sides = random.uniform(10, 20, (len(centres), 2))
    which = random.integers(0, len(centres), n)
    corners = np.concatenate([centres - sides, centres + sides], axis=1)[which] + random.normal(0, 2, (n, 4))
    scores = (random.permutation(n) + 1) / (n + 1)
    return Instances.build(
        corners, scores=scores, labels=random.integers(0, labels, n), rounds=random.integers(-1, 4, n)
    )


def reference(found: Instances, params: Wbf.Params) -> list[tuple[list[float], float, int, int]]:
    """Return (box, score, label, round) of each fused box: section 3 of the paper."""
    clusters: list[list[int]] = []
    fused: list[np.ndarray[Any, Any]] = []
    for i in sorted(range(len(found)), key=lambda i: -found.scores[i]):
        matches = [
            (float(iou(found.boxes[i : i + 1], box[None])[0, 0]), -place)
            for place, box in enumerate(fused)
            if params.across_labels or found.labels[clusters[place][0]] == found.labels[i]
        ]
        ratio, place = max(matches, default=(0.0, 0))
        if ratio > params.threshold:
            clusters[-place].append(i)
        else:
            clusters.append([i])
            fused.append(np.zeros(4))
            place = 1 - len(clusters)
        own = clusters[-place]
        fused[-place] = np.average(found.boxes[own].astype(np.float64), axis=0, weights=found.scores[own])
    out = []
    for own, box in zip(clusters, fused, strict=True):
        scores = found.scores[own].astype(np.float64)
        score = (scores.max() if params.score == "max" else scores.mean()) * min(1, len(own) / params.sources)
        out.append((box.tolist(), float(score), int(found.labels[own[0]]), int(found.rounds[own].min())))
    return sorted(out, key=lambda one: -one[1])


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 60),
    score=st.sampled_from(["max", "mean"]),
    sources=st.integers(1, 3),
    across=st.booleans(),
    threshold=st.sampled_from([0.3, 0.55, 0.8]),
)
def test_equals_the_papers_steps(seed: int, n: int, score: Any, sources: int, across: bool, threshold: float) -> None:
    params = Wbf.Params(threshold=threshold, score=score, sources=sources, across_labels=across)
    found = crowd(seed, n)
    out, expected = Wbf(params).aggregate(found, OWN), reference(found, params)
    assert out.scores.tolist() == pytest.approx([one[1] for one in expected], abs=1e-6)
    left = [(np.array(box), label, round) for box, _, label, round in expected]
    for box, label, round in zip(out.boxes, out.labels.tolist(), out.rounds.tolist(), strict=True):
        nearest = min(range(len(left)), key=lambda place: np.abs(left[place][0] - box).max())
        other, *rest = left.pop(nearest)
        assert box == pytest.approx(other, abs=0.02)
        assert [label, round] == rest
    assert not left


@pytest.mark.parametrize(("kind", "sources"), [("mean", 1), ("mean", 3), ("max", 1)])
def test_equals_ensemble_boxes(kind: Any, sources: int) -> None:
    peer = pytest.importorskip("ensemble_boxes")
    for seed in range(20):
        found = crowd(seed, 60, labels=3)
        source = np.random.default_rng(seed).integers(0, sources, len(found))
        parts = [found.take(source == one) for one in range(sources)]
        boxes, scores, labels = peer.weighted_boxes_fusion(
            [part.boxes / 200 for part in parts],
            [part.scores for part in parts],
            [part.labels for part in parts],
            iou_thr=0.55,
            conf_type={"mean": "avg", "max": "max"}[kind],
        )
        inside = found.boxes.min() >= 0 and found.boxes.max() <= 200
        assert inside, "the peer cuts boxes at the image's edge before, we do after"
        ours = Wbf(Wbf.Params(score=kind, sources=sources)).aggregate(found, OWN)
        assert ours.scores == pytest.approx(np.sort(scores)[::-1], abs=1e-5)
        key = lambda rows: sorted((label, *np.round(box, 1)) for box, label in rows)  # noqa: E731
        theirs = key(zip((boxes * 200).tolist(), labels.astype(int).tolist(), strict=True))
        for mine, other in zip(key(zip(ours.boxes.tolist(), ours.labels.tolist(), strict=True)), theirs, strict=True):
            assert mine == pytest.approx(other, abs=0.2)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 40))
def test_the_order_of_the_input_does_not_matter(seed: int, n: int) -> None:
    found = crowd(seed, n)
    shuffled = found.take(np.random.default_rng(seed).permutation(n))
    one, two = (Wbf(Wbf.Params()).aggregate(part, OWN) for part in (found, shuffled))
    assert np.array_equal(one.boxes, two.boxes)
    assert np.array_equal(one.scores, two.scores)


def test_equal_boxes_fuse_into_themselves_and_scores_of_0_weigh_the_same() -> None:
    box = [1.1, 2.2, 30.3, 40.4]
    out = Wbf(Wbf.Params()).aggregate(Instances.build([box] * 3, scores=[0.2, 0.9, 0.4], labels=[0] * 3), OWN)
    assert out.boxes.tolist() == [pytest.approx(box)]
    assert out.scores.tolist() == pytest.approx([0.9])
    zero = Instances.build([[0, 0, 10, 10], [0, 0, 10, 12]], scores=[0, 0], labels=[0, 0])
    assert Wbf(Wbf.Params()).aggregate(zero, OWN).boxes.tolist() == [[0, 0, 10, 11]]


def test_the_round_rules_over_the_parameter_and_0_changes_nothing() -> None:
    found = Instances.build([[0, 0, 10, 10], [0, 0, 10, 5]], scores=[0.9, 0.8], labels=[0, 0])
    assert len(Wbf(Wbf.Params()).aggregate(found, OWN)) == 2
    assert len(Wbf(Wbf.Params()).aggregate(found, Round(index=0, conf_threshold=0.5, nms_threshold=0.4))) == 1
    assert Wbf(Wbf.Params()).aggregate(found, Round(index=0, conf_threshold=0.5, nms_threshold=0)) is found


@pytest.mark.parametrize("params", [{}, {"score": "mean", "sources": 3}, {"across_labels": True}])
def test_contract(params: dict[str, Any]) -> None:
    check_aggregator(Wbf, params)
