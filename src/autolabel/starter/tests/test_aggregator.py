"""The aggregator keeps autolabel's contract."""

from __future__ import annotations

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Round

from autolabel_starter.aggregator import StarterAggregator


def test_it_keeps_the_contract() -> None:
    check_aggregator(StarterAggregator, {"most": 3})


def test_the_best_of_each_phrase_are_kept() -> None:
    boxes = [[x, 0, x + 5, 5] for x in range(5)]
    found = Instances.build(boxes, scores=[0.5, 0.9, 0.7, 0.2, 0.1], labels=[0, 0, 0, 1, 1])
    aggregator = StarterAggregator(StarterAggregator.Params(most=2))
    kept = aggregator.aggregate(found, Round(index=0, conf_threshold=0))
    assert kept.boxes[:, 0].tolist() == [1, 2, 3, 4]
