"""Greedy NMS against a reference written as the definition reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Rle, Round
from autolabel.types.boxes import iou
from autolabel_aggregators.nms import Nms

OWN = Round(index=0, conf_threshold=0.5)


def crowd(seed: int, n: int, *, ties: bool = False) -> Instances:
    random = np.random.default_rng(seed)
    low = random.integers(0, 30, (n, 2))
    boxes = np.concatenate([low, low + random.integers(1, 20, (n, 2))], axis=1)
    scores = random.integers(0, 4, n) / 4 if ties else random.permutation(n) / max(n, 1)
    return Instances.build(boxes, scores=scores, labels=random.integers(0, 3, n), rounds=random.integers(0, 3, n))


def reference(found: Instances, threshold: float, across: bool) -> list[int]:
    """Return what is kept: best first, each dropping every worse one that overlaps it by more than the threshold."""
    ratio = iou(found.boxes, found.boxes)
    waiting = sorted(range(len(found)), key=lambda i: (-found.scores[i], found.rounds[i], i))
    kept = []
    while waiting:
        best, *waiting = waiting
        kept.append(best)
        waiting = [
            i for i in waiting if not (ratio[best, i] > threshold and (across or found.labels[i] == found.labels[best]))
        ]
    return kept


def same(first: Instances, second: Instances) -> bool:
    columns = ("boxes", "scores", "labels", "rounds")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in columns)


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 60) | st.integers(190, 400),
    threshold=st.sampled_from([1e-9, 0.2, 0.5, 0.7, 1.0]),
    across=st.booleans(),
    ties=st.booleans(),
)
def test_equals_the_definition(seed: int, n: int, threshold: float, across: bool, ties: bool) -> None:
    found = crowd(seed, n, ties=ties)
    kept = Nms(Nms.Params(threshold=threshold, across_labels=across)).aggregate(found, OWN)
    assert same(kept, found.take(np.array(reference(found, threshold, across), np.int64)))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 80), threshold=st.sampled_from([0.2, 0.5, 0.7]))
def test_is_idempotent_and_keeps_every_label(seed: int, n: int, threshold: float) -> None:
    found = crowd(seed, n, ties=True)
    nms = Nms(Nms.Params(threshold=threshold))
    kept = nms.aggregate(found, OWN)
    assert same(nms.aggregate(kept, OWN), kept)
    assert set(kept.labels.tolist()) == set(found.labels.tolist())


@given(seed=st.integers(0, 10**6), n=st.integers(1, 80))
def test_the_order_of_the_input_does_not_matter(seed: int, n: int) -> None:
    found = crowd(seed, n)
    shuffled = found.take(np.random.default_rng(seed).permutation(n))
    nms = Nms(Nms.Params(threshold=0.4))
    assert same(nms.aggregate(found, OWN), nms.aggregate(shuffled, OWN))


def pair(*, labels: tuple[int, int] = (0, 0)) -> Instances:
    """Return two boxes with an IoU of exactly 0.5, the worse one first."""
    return Instances.build([[0, 0, 10, 10], [0, 0, 10, 20]], scores=[0.4, 0.8], labels=labels, rounds=[1, 0])


def test_an_iou_equal_to_the_threshold_drops_nothing() -> None:
    assert len(Nms(Nms.Params(threshold=0.5)).aggregate(pair(), OWN)) == 2
    assert Nms(Nms.Params(threshold=0.4999)).aggregate(pair(), OWN).scores.tolist() == [pytest.approx(0.8)]


def test_labels_stand_alone_unless_asked() -> None:
    apart = pair(labels=(0, 1))
    assert len(Nms(Nms.Params(threshold=0.3)).aggregate(apart, OWN)) == 2
    assert Nms(Nms.Params(threshold=0.3, across_labels=True)).aggregate(apart, OWN).labels.tolist() == [1]


def test_the_round_rules_over_the_parameter() -> None:
    nms = Nms(Nms.Params(threshold=0.9))
    assert len(nms.aggregate(pair(), Round(index=0, conf_threshold=0.5, nms_threshold=0.3))) == 1
    strict = Nms(Nms.Params(threshold=0.3))
    assert len(strict.aggregate(pair(), Round(index=0, conf_threshold=0.5, nms_threshold=0.9))) == 2


def test_zero_changes_nothing_not_even_the_order() -> None:
    off = Round(index=0, conf_threshold=0.5, nms_threshold=0.0)
    assert same(Nms(Nms.Params(threshold=0.3)).aggregate(pair(), off), pair())
    assert same(Nms(Nms.Params(threshold=0)).aggregate(pair(), OWN), pair())


def test_of_equal_scores_the_earlier_round_wins_then_the_first() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 11], [0, 0, 10, 12]]
    found = Instances.build(boxes, scores=[0.5] * 3, labels=[0] * 3, rounds=[1, 0, 0])
    assert Nms(Nms.Params(threshold=0.5)).aggregate(found, OWN).boxes.tolist() == [boxes[1]]


def test_masks_and_given_fields_stay_with_their_box() -> None:
    masks, given_fields = [Rle((20, 20), "a"), Rle((20, 20), "b")], [{"id": 1}, {"id": 2}]
    found = Instances.build(
        pair().boxes, scores=pair().scores, labels=pair().labels, rounds=[0, 0], masks=masks, given=given_fields
    )
    kept = Nms(Nms.Params(threshold=0.3)).aggregate(found, OWN)
    assert kept.masks == (masks[1],)
    assert kept.given == (given_fields[1],)


def test_identical_boxes_by_the_thousand_leave_one() -> None:
    found = Instances.build(np.tile([0, 0, 9, 9], (5000, 1)), scores=np.linspace(0, 1, 5000), labels=np.zeros(5000))
    assert Nms(Nms.Params()).aggregate(found, OWN).scores.tolist() == [1]


@pytest.mark.parametrize("params", [{}, {"threshold": 0.3, "across_labels": True}, {"threshold": 0}])
def test_keeps_the_contract(params: dict[str, object]) -> None:
    check_aggregator(Nms, params)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("threshold", [1e-7, 0.3, 0.7, 1.0])
def test_few_boxes_compared_directly_and_in_a_grid_leave_the_same(
    across: bool, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(5)
    corner, side = random.integers(0, 60, (300, 2)), random.integers(0, 20, (300, 2))  # some equal, some without area
    found = Instances.build(
        np.hstack([corner, corner + side]), scores=random.integers(0, 9, 300) / 9, labels=random.integers(0, 3, 300)
    )
    suppress = Nms(Nms.Params(threshold=threshold, across_labels=across))
    directly = suppress.aggregate(found, Round(index=0, conf_threshold=0.1))
    monkeypatch.setattr("autolabel.types.suppression._FEW", 0)
    monkeypatch.setattr("autolabel.types.neighbours.FEW", 0)
    in_a_grid = suppress.aggregate(found, Round(index=0, conf_threshold=0.1))
    assert np.array_equal(directly.boxes, in_a_grid.boxes)
    assert np.array_equal(directly.scores, in_a_grid.scores)
    assert 0 < len(directly) < 300 or threshold == 1, "some boxes are dropped"
