"""DBSCAN against scikit-learn on the full distance matrix, merging against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Rle, Round
from autolabel.types.boxes import Float32, iou
from autolabel_aggregators.dbscan import Dbscan, clusters, scikit_clusters

OWN = Round(index=0, conf_threshold=0.5)
SEEDS = st.integers(0, 10**6)
COUNTS = st.integers(1, 60) | st.integers(190, 260)


def lattice(seed: int, n: int) -> Float32:
    """Return boxes on a coarse lattice, so that identical ones and distances of exactly eps are frequent."""
    random = np.random.default_rng(seed)
    low = random.integers(0, 2 + n // 4, (n, 2))
    return np.concatenate([low, low + random.integers(1, 6, (n, 2))], axis=1).astype(np.float32)


def crowd(seed: int, n: int) -> Instances:
    random = np.random.default_rng(seed)
    scores, labels = random.permutation(n) / n, random.integers(0, 3, n)
    return Instances.build(lattice(seed, n), scores=scores, labels=labels, rounds=random.integers(-1, 3, n))


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()) - {-1}}


def dense(boxes: Float32, eps: float, min_samples: int) -> np.ndarray:
    found = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(1 - iou(boxes, boxes))
    return np.asarray(found.labels_)


@pytest.mark.parametrize("min_samples", [1, 2, 3, 5])
@settings(max_examples=50)
@given(seed=SEEDS, n=COUNTS, eps=st.sampled_from([1e-12, 0.3, 0.4, 0.5, 0.7, 0.9]))
def test_clusters_are_those_of_scikit_learn(min_samples: int, seed: int, n: int, eps: float) -> None:
    boxes = lattice(seed, n)
    expected = partition(dense(boxes, eps, min_samples))
    assert partition(clusters(boxes, eps, min_samples=min_samples)) == expected
    assert partition(scikit_clusters(boxes, eps, min_samples=min_samples)) == expected


@settings(max_examples=50)
@given(seed=SEEDS, n=COUNTS, min_samples=st.integers(1, 4))
def test_no_cluster_reaches_across_groups(seed: int, n: int, min_samples: int) -> None:
    found = crowd(seed, n)
    expected: set[frozenset[int]] = set()
    for label in np.unique(found.labels):
        members = np.flatnonzero(found.labels == label)
        local = partition(dense(found.boxes[members], 0.5, min_samples))
        expected |= {frozenset(members[sorted(part)].tolist()) for part in local}
    assert partition(clusters(found.boxes, 0.5, min_samples=min_samples, groups=found.labels)) == expected


@settings(max_examples=50)
@given(seed=SEEDS, n=COUNTS, across=st.booleans(), min_samples=st.integers(1, 3))
def test_merging_follows_the_definition(seed: int, n: int, across: bool, min_samples: int) -> None:
    found = crowd(seed, n)
    order = np.lexsort((np.arange(n), found.rounds, -found.scores))
    groups = np.zeros(n, np.int32) if across else found.labels
    expected = []
    labels = clusters(found.boxes[order], 0.5, min_samples=min_samples, groups=groups[order])
    for part in partition(labels):
        members = sorted(order[sorted(part)].tolist(), key=lambda i: (-found.scores[i], found.rounds[i], i))
        weights = found.scores[members].astype(np.float64)
        weights = weights if weights.sum() else np.ones(len(members))
        box = np.average(found.boxes[members].astype(np.float64), axis=0, weights=weights)
        best = members[0]
        expected.append((float(found.scores[best]), int(found.labels[best]), int(found.rounds[members].min()), box))
    expected.sort(key=lambda row: -row[0])
    params = Dbscan.Params(across_labels=across, min_samples=min_samples)
    merged = Dbscan(params).aggregate(found, OWN)
    assert merged.scores.tolist() == [row[0] for row in expected]
    assert merged.labels.tolist() == [row[1] for row in expected]
    assert merged.rounds.tolist() == [row[2] for row in expected]
    assert np.allclose(merged.boxes, np.array([row[3] for row in expected]).reshape(-1, 4), atol=1e-4)


@settings(max_examples=50)
@given(seed=SEEDS, n=COUNTS, min_samples=st.integers(1, 4))
def test_the_order_of_the_input_does_not_matter(seed: int, n: int, min_samples: int) -> None:
    found = crowd(seed, n)
    dbscan = Dbscan(Dbscan.Params(min_samples=min_samples))
    first = dbscan.aggregate(found, OWN)
    second = dbscan.aggregate(found.take(np.random.default_rng(seed).permutation(n)), OWN)
    for column in ("boxes", "scores", "labels", "rounds"):
        assert np.array_equal(getattr(first, column), getattr(second, column))


@settings(max_examples=50)
@given(seed=SEEDS, n=COUNTS)
def test_by_default_every_label_stays(seed: int, n: int) -> None:
    found = crowd(seed, n)
    assert set(Dbscan(Dbscan.Params()).aggregate(found, OWN).labels.tolist()) == set(found.labels.tolist())


def pair() -> Instances:
    """Return two boxes at a distance of exactly 0.5, and one far away."""
    return Instances.build(
        [[0, 0, 10, 10], [0, 0, 10, 20], [50, 50, 60, 60]],
        scores=[0.25, 0.75, 0.5],
        labels=[0, 1, 1],
        rounds=[0, 1, 2],
        masks=[Rle((80, 80), name) for name in "abc"],
        given=[{"id": i} for i in range(3)],
    )


def test_a_merged_box_by_hand() -> None:
    merged = Dbscan(Dbscan.Params(eps=0.5, across_labels=True)).aggregate(pair(), OWN)
    assert merged.boxes.tolist() == [[0, 0, 10, 17.5], [50, 50, 60, 60]]
    assert merged.scores.tolist() == [0.75, 0.5]
    assert merged.labels.tolist() == [1, 1]
    assert merged.rounds.tolist() == [0, 2]
    assert [mask.counts for mask in merged.masks or () if mask] == ["b", "c"]
    assert merged.given == ({"id": 1}, {"id": 2})


def test_above_one_sample_what_is_alone_is_dropped() -> None:
    merged = Dbscan(Dbscan.Params(min_samples=2, across_labels=True)).aggregate(pair(), OWN)
    assert merged.boxes.tolist() == [[0, 0, 10, 17.5]]
    assert len(Dbscan(Dbscan.Params(min_samples=2)).aggregate(pair(), OWN)) == 0


@pytest.mark.parametrize(("threshold", "left"), [(None, 3), (0.0, 3), (0.5, 2), (0.6, 3), (1e-30, 2), (1.0, 3)])
def test_the_round_rules_over_the_parameter(threshold: float | None, left: int) -> None:
    dbscan = Dbscan(Dbscan.Params(eps=0.1, across_labels=True))
    merged = dbscan.aggregate(pair(), Round(index=0, conf_threshold=0.5, nms_threshold=threshold))
    assert len(merged) == left
    if threshold == 0:
        assert merged.scores.tolist() == [0.25, 0.75, 0.5]


def test_scores_of_zero_weigh_the_same() -> None:
    found = Instances.build([[0, 0, 10, 10], [0, 0, 10, 12]], scores=[0, 0], labels=[0, 0])
    assert Dbscan(Dbscan.Params()).aggregate(found, OWN).boxes.tolist() == [[0, 0, 10, 11]]


def test_identical_boxes_merge_at_eps_zero() -> None:
    found = Instances.build([[1, 2, 3, 4]] * 3 + [[1, 2, 3, 4.5]], scores=[0.1, 0.3, 0.2, 0.9], labels=[0] * 4)
    for min_samples in (1, 3):
        merged = Dbscan(Dbscan.Params(eps=0, min_samples=min_samples)).aggregate(found, OWN)
        assert [1, 2, 3, 4] in merged.boxes.tolist()
        assert len(merged) == (2 if min_samples == 1 else 1)


@pytest.mark.parametrize("params", [{}, {"eps": 0.3, "min_samples": 3}, {"across_labels": True, "min_samples": 2}])
def test_keeps_the_contract(params: dict[str, object]) -> None:
    check_aggregator(Dbscan, params)
