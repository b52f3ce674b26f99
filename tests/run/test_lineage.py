"""Where boxes come from, told without knowing what the aggregator does."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from autolabel.explain.lineage import gives, trace_box
from autolabel.testing.aggregator import crowd
from autolabel.types import Instances, Round
from autolabel.types.boxes import iou
from autolabel_aggregators.dbscan import Dbscan, clusters
from autolabel_aggregators.nms import Nms
from autolabel_aggregators.soft_nms import SoftNms
from autolabel_aggregators.wbf import Wbf

ROUND = Round(index=2, conf_threshold=0.1)


def distinct(count: int, seed: int) -> Instances:
    """Boxes of a crowd, with scores that are all different and labels that overlap."""
    found = crowd(count, seed)
    scores = np.random.default_rng(seed).permutation(count).astype(np.float32) / count + 0.001
    return Instances.build(found.boxes, scores=scores, labels=found.labels % 2, rounds=found.rounds)


def traced(aggregator: Any, union: Instances) -> Any:
    aggregate = partial(aggregator.aggregate, round=ROUND)
    kept = aggregate(union)
    return aggregate, kept, trace_box(aggregate, union, kept)


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        (Nms, {"threshold": 0.4}),
        (Nms, {"threshold": 0.4, "across_labels": True}),
        (Dbscan, {"eps": 0.5}),
        (Dbscan, {"eps": 0.6, "across_labels": True}),
        (Dbscan, {"eps": 0.4, "min_samples": 2}),
        (SoftNms, {}),
        (Wbf, {}),
    ],
)
@pytest.mark.parametrize(("count", "seed"), [(1, 0), (9, 1), (40, 2)])
def test_sources_alone_give_the_box_and_none_of_them_is_idle(strategy: Any, params: Any, count: int, seed: int) -> None:
    union = distinct(count, seed)
    aggregate, kept, lineage = traced(strategy(strategy.Params(**params)), union)
    for box, part in enumerate(lineage.sources):
        assert gives(aggregate, union, part, kept.take([box]))
        for one in part if len(part) > 1 else ():
            assert not gives(aggregate, union, [other for other in part if other != one], kept.take([box]))
    used = {one for part in lineage.sources for one in part}
    assert used | lineage.displaced.keys() == set(range(count)) and not used & lineage.displaced.keys()


def test_what_nms_dropped_stands_below_a_better_box_that_overlaps_it() -> None:
    union = distinct(60, 3)
    _, kept, lineage = traced(Nms(Nms.Params(threshold=0.4)), union)
    for box, part in enumerate(lineage.sources):
        assert len(part) == 1 and np.array_equal(union.boxes[part[0]], kept.boxes[box])
    overlap = iou(union.boxes, kept.boxes)
    assert lineage.displaced
    for candidate, by in lineage.displaced.items():
        assert by is not None and overlap[candidate, by] > 0.4
        assert kept.scores[by] > union.scores[candidate] and kept.labels[by] == union.labels[candidate]


@pytest.mark.parametrize("least", [1, 2])
def test_what_dbscan_merged_is_the_cluster_and_noise_stands_alone(least: int) -> None:
    union = distinct(60, 4)
    _, kept, lineage = traced(Dbscan(Dbscan.Params(eps=0.4, min_samples=least)), union)
    cluster = clusters(union.boxes, 0.4, min_samples=least, groups=union.labels)
    wanted = {tuple(np.flatnonzero(cluster == number).tolist()) for number in set(cluster.tolist()) - {-1}}
    assert set(lineage.sources) == wanted and len(kept) == len(wanted)
    noise = set(np.flatnonzero(cluster == -1).tolist())
    assert set(lineage.displaced) == noise and bool(noise) == (least == 2)
    assert not any(lineage.displaced_by(box) for box in range(len(kept)))


def test_a_box_that_needs_two_of_three_has_two_sources_and_the_third_beside_it() -> None:
    """An aggregator nobody foresaw: it wants a second opinion, and keeps the best."""

    class Agreed(Nms):
        name = "agreed"

        def aggregate(self, instances: Instances, round: Round) -> Instances:
            best = super().aggregate(instances, round)
            return best.take((iou(best.boxes, instances.boxes) > 0.4).sum(axis=1) >= 2)

    union = Instances.build(
        [[0, 0, 10, 10], [0, 0, 10, 9], [0, 1, 10, 10], [50, 50, 60, 60]], scores=[0.9, 0.8, 0.7, 0.6], labels=[0] * 4
    )
    _, _, lineage = traced(Agreed(Agreed.Params(threshold=0.4)), union)
    assert lineage.sources == ((0, 1),)
    assert lineage.displaced == {2: None, 3: None}


def test_nothing_kept_leaves_every_candidate_unexplained() -> None:
    union = distinct(3, 0)
    assert trace_box(lambda part: Instances.empty(), union, Instances.empty()).displaced == {0: None, 1: None, 2: None}
    assert trace_box(lambda part: part, Instances.empty(), Instances.empty()).displaced == {}
