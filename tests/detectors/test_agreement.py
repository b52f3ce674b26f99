"""What the looks that were asked say of a box."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.detectors import Agreement, Doubt, Looks
from autolabel.detectors.agreement import Rule
from autolabel.testing.aggregator import crowd
from autolabel.types import Instances, Round
from autolabel.types.boxes import iou
from autolabel.types.instances import Support
from autolabel_aggregators.dbscan import Dbscan
from autolabel_aggregators.nms import Nms
from autolabel_aggregators.wbf import Wbf

LOOKS = ("plain", "mirror", "flip")
ROUND = Round(index=0, conf_threshold=0.1)
A, B, FAR = [0, 0, 20, 20], [0, 0, 20, 18], [40, 40, 60, 60]


def union(*found: tuple[list[int], float, str], labels: Any = 0, sources: Any = None) -> Instances:
    boxes, scores, looks = zip(*found, strict=True)
    made = Instances.build(boxes, scores=scores, labels=np.broadcast_to(labels, len(found)), sources=sources)
    return replace(made, looks=tuple(looks))


def weighed(found: Instances, rule: Rule = "vote", *, asked: int = 3, labelers: int = 1) -> Instances:
    agreement = Agreement(score=rule, iou=0.5, labelers=labelers)
    kept = Nms(Nms.Params(threshold=0.5)).aggregate(found, ROUND)
    return agreement.weigh(kept, found, looks=LOOKS, asked=np.full(int(found.labels.max()) + 1, asked))


def seen(looks: int, labelers: int, asked: int) -> Support:
    return Support(looks=looks, labelers=labelers, asked=asked)


@pytest.mark.parametrize(
    ("rule", "asked", "score"),
    [
        ("vote", 3, 0.9 * 2 / 3),
        ("vote", 2, 0.9),
        ("mean", 3, (0.9 + 0.5) / 3),
        ("mean", 2, (0.9 + 0.5) / 2),
        ("noisy_or", 3, 1 - (0.1 * 0.5) ** (1 / 3)),
        ("noisy_or", 2, 1 - (0.1 * 0.5) ** (1 / 2)),
    ],
)
def test_a_box_that_two_looks_saw(rule: Rule, asked: int, score: float) -> None:
    found = weighed(union((A, 0.9, "plain"), (B, 0.5, "mirror"), (B, 0.3, "mirror")), rule, asked=asked)
    assert found.scores.tolist() == pytest.approx([score])
    assert found.support == (seen(2, 1, asked),)
    assert found.boxes.tolist() == [A], "where it lies is the aggregator's affair"


@pytest.mark.parametrize("rule", ["vote", "mean", "noisy_or"])
def test_one_look_changes_no_score(rule: Rule) -> None:
    found = weighed(union((A, 0.9, "plain"), (FAR, 0.3, "plain")), rule, asked=1)
    assert found.scores.tolist() == pytest.approx([0.9, 0.3]) and found.support == (seen(1, 1, 1),) * 2


def test_best_first_and_each_label_by_itself() -> None:
    found = weighed(
        union((A, 0.9, "plain"), (FAR, 0.3, "plain"), (FAR, 0.29, "flip"), (B, 0.8, "flip"), labels=[0, 0, 0, 1])
    )
    assert found.labels.tolist() == [0, 1, 0] and found.boxes.tolist() == [A, B, FAR]
    assert found.scores.tolist() == pytest.approx([0.3, 0.8 / 3, 0.2])


def test_labelers_and_looks_are_counted_in_pairs() -> None:
    names = [("a",), ("b",), ("a",), ("a",)]
    found = weighed(
        union((A, 0.9, "plain"), (B, 0.8, "plain"), (A, 0.7, "flip"), (A, 0.6, "flip"), sources=names), labelers=2
    )
    assert found.support == (seen(3, 2, 6),)
    assert found.scores.tolist() == pytest.approx([0.9 * 2 / 3]), "a look saw it where any labeler did"


def test_a_candidate_belongs_to_one_box_alone() -> None:
    """Two boxes that are both kept: the other look's candidate goes to the one that it overlaps more."""
    near = [0, 0, 20, 11]
    kept = union((A, 0.9, "plain"), (near, 0.8, "plain"))
    found = union((A, 0.9, "plain"), (near, 0.8, "plain"), (B, 0.7, "mirror"))
    assert iou(np.array([B]), np.array([near]))[0, 0] > 0.5
    agreement = Agreement(score="vote", iou=0.5, labelers=1)
    after = agreement.weigh(kept, found, looks=LOOKS[:2], asked=np.array([2]))
    assert after.support == (seen(2, 1, 2), seen(1, 1, 2)) and after.boxes.tolist() == [A, near]


def test_a_merged_box_far_from_its_parts_is_seen_by_its_own_look() -> None:
    kept = union(([0, 0, 100, 100], 0.9, "flip"))
    found = union((A, 0.9, "flip"), (FAR, 0.3, "plain"))
    agreement = Agreement(score="vote", iou=0.5, labelers=1)
    after = agreement.weigh(kept, found, looks=LOOKS, asked=np.array([3]))
    assert after.support == (seen(1, 1, 3),) and after.scores.tolist() == pytest.approx([0.3])


def test_what_an_aggregator_lowered_stays_lower() -> None:
    found = union((A, 0.8, "plain"), (B, 0.6, "mirror"))
    kept = replace(found.take([0]), scores=np.array([0.4], np.float32))
    agreement = Agreement(score="mean", iou=0.5, labelers=1)
    after = agreement.weigh(kept, found, looks=LOOKS[:2], asked=np.array([2]))
    assert after.scores.tolist() == pytest.approx([0.35])


def test_nothing_is_nothing() -> None:
    agreement = Agreement(score="vote", iou=0.5, labelers=1)
    after = agreement.weigh(Instances.empty(), Instances.empty(), looks=LOOKS, asked=np.array([3]))
    assert len(after) == 0
    assert (
        agreement.in_doubt(Instances.empty(), Instances.empty(), looks=LOOKS, doubt=Doubt(score=0.1, sure=0.2, boxes=0))
        == 0
    )


@given(seed=st.integers(0, 50), rule=st.sampled_from(["vote", "mean", "noisy_or"]), count=st.sampled_from([1, 30, 300]))
@settings(max_examples=25, deadline=None)
def test_against_the_definition(seed: int, rule: Rule, count: int) -> None:
    """Every score and support, computed again box by box from the definition."""
    random = np.random.default_rng(seed)
    found = replace(crowd(count, seed), looks=tuple(random.choice(LOOKS, count)), given=None, masks=None)
    found = found.take(found.scores > 0)
    kept = Nms(Nms.Params(threshold=0.6)).aggregate(found, ROUND)
    asked = np.array([3, 3, 3])
    after = Agreement(score=rule, iou=0.5, labelers=1).weigh(kept, found, looks=LOOKS, asked=asked)
    overlap = iou(kept.boxes, found.boxes) * (kept.labels[:, None] == found.labels[None])
    expected = []
    for place in range(len(kept)):
        mine = [c for c in range(len(found)) if overlap[:, c].argmax() == place and overlap[place, c] >= 0.5]
        best = [
            max((float(found.scores[c]) for c in mine if (found.looks or ())[c] == look), default=0) for look in LOOKS
        ]
        score: float = {
            "vote": max(best) * sum(one > 0 for one in best) / 3,
            "mean": sum(best) / 3,
            "noisy_or": 1 - float(np.prod([1 - one for one in best])) ** (1 / 3),
        }[rule]
        weight = float(kept.scores[place]) / max(best)
        expected.append((round(score * weight, 5), sum(one > 0 for one in best)))
    told = [(round(float(s), 5), one.looks) for s, one in zip(after.scores, after.support or (), strict=True)]
    assert np.allclose(sorted(told), sorted(expected), atol=2e-5)


@pytest.mark.parametrize(
    ("found", "count", "doubts"),
    [
        (union((A, 0.9, "plain"), (FAR, 0.31, "plain")), 1, 0),
        (union((A, 0.9, "plain"), (FAR, 0.29, "plain")), 1, 1),
        (union((A, 0.9, "plain"), (FAR, 0.15, "plain")), 1, 0),
        (union((A, 0.9, "plain"), (A, 0.2, "mirror"), (FAR, 0.31, "plain")), 2, 1),
        (union((A, 0.9, "plain"), (A, 0.2, "mirror"), (FAR, 0.29, "plain")), 2, 0),
        (union((A, 0.9, "plain"), (A, 0.2, "mirror"), (A, 0.2, "flip"), (FAR, 0.8, "plain")), 3, 1),
    ],
)
def test_what_is_in_doubt(found: Instances, count: int, doubts: int) -> None:
    kept = Nms(Nms.Params(threshold=0.5)).aggregate(found, ROUND)
    agreement = Agreement(score="vote", iou=0.5, labelers=1)
    assert agreement.in_doubt(kept, found, looks=LOOKS[:count], doubt=Doubt(score=0.15, sure=0.3, boxes=0)) == doubts
    for boxes in (0, 1):
        looks = Looks(LOOKS, agreement, Doubt(score=0.15, sure=0.3, boxes=boxes))
        assert looks.settled(kept, found, count) == (doubts <= boxes)


def test_how_many_looks_a_round_asks() -> None:
    assert [Looks(LOOKS, None, Doubt(score=0.1, sure=0.2, boxes=0)).in_round(round) for round in range(5)] == [
        1,
        2,
        3,
        3,
        3,
    ]
    assert [Looks(LOOKS).in_round(round) for round in range(2)] == [3, 3]
    assert Looks().in_round(4) == 1


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_dbscan_can_count_looks(looks: int) -> None:
    found = union(
        (A, 0.9, "plain"),
        (B, 0.8, "plain"),
        (A, 0.7, "plain"),
        (FAR, 0.6, "plain"),
        (FAR, 0.5, "mirror"),
        (FAR, 0.4, "flip"),
    )
    kept = Dbscan(Dbscan.Params.model_validate({"min_samples": {"looks": looks}})).aggregate(found, ROUND)
    assert len(kept) == (2 if looks == 1 else 1)
    assert np.allclose(kept.boxes[-1], FAR)
    boxes = Dbscan(Dbscan.Params.model_validate({"min_samples": looks})).aggregate(found, ROUND)
    assert len(boxes) == 2, "three boxes of one look are three samples"


@pytest.mark.parametrize("least", [1, 2, 3, 5])
def test_dbscan_in_looks_of_one_box_each_is_dbscan(least: int) -> None:
    plain = crowd(60, 3)
    found = replace(plain, looks=tuple(f"look-{index}" for index in range(len(plain))))
    in_looks = Dbscan(Dbscan.Params.model_validate({"min_samples": {"looks": least}})).aggregate(found, ROUND)
    in_boxes = Dbscan(Dbscan.Params.model_validate({"min_samples": least})).aggregate(found, ROUND)
    assert len(in_looks) == len(in_boxes)
    without = Dbscan(Dbscan.Params.model_validate({"min_samples": {"looks": least}})).aggregate(plain, ROUND)
    assert without.boxes.tolist() == in_boxes.boxes.tolist(), "without looks it counts boxes"


@pytest.mark.parametrize(
    "aggregator", [Nms(Nms.Params()), Wbf(Wbf.Params()), Dbscan(Dbscan.Params())], ids=lambda a: a.name
)
def test_every_aggregator_keeps_the_look_of_a_box(aggregator: Any) -> None:
    found = replace(crowd(40, 1), looks=tuple(np.random.default_rng(0).choice(LOOKS, 40)))
    kept = aggregator.aggregate(found, ROUND)
    assert len(kept.looks or ()) == len(kept) > 0
