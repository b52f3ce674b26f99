"""Intervals hold what they say, and are those of the figures they stand beside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autolabel.evaluate.intervals import DetectionCounts, average_precision_intervals, draws, ratio_intervals


def counts(right: np.ndarray, found: np.ndarray, true: np.ndarray) -> DetectionCounts:
    return DetectionCounts(true=true.astype(float), found=found.astype(float), right=right.astype(float))


def test_the_interval_of_the_precision_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = generator.poisson(4, (80, 1))
        right = generator.binomial(found, 0.8)
        total, _ = ratio_intervals(counts(right, found, found))
        assert total.precision is not None
        covered += total.precision[0] <= 0.8 <= total.precision[1]
    assert 180 <= covered <= 198


def test_mistakes_that_come_together_widen_it() -> None:
    found = np.full((40, 1), 10)
    spread = np.full((40, 1), 8)
    clumped = np.where(np.arange(40)[:, None] % 5 == 0, 0, 10)
    even, _ = ratio_intervals(counts(spread, found, found))
    uneven, _ = ratio_intervals(counts(clumped, found, found))
    assert even.precision == pytest.approx((0.8, 0.8))
    assert uneven.precision is not None and uneven.precision[1] - uneven.precision[0] > 0.2


def test_classes_have_their_own_and_nothing_has_none() -> None:
    found = np.array([[1, 0], [1, 0], [2, 0]])
    total, classes = ratio_intervals(counts(found, found, np.array([[2, 0], [1, 0], [2, 1]])))
    assert classes[0].precision == (1.0, 1.0)
    assert classes[1].precision is None and classes[1].recall == (0.0, 0.0)
    assert total.recall is not None and total.recall[0] < 5 / 6 <= total.recall[1]


def test_one_image_gives_none() -> None:
    one = np.ones((1, 1))
    total, [only] = ratio_intervals(counts(one, one, one))
    assert total.precision is None and only.recall is None


def test_every_draw_has_as_many_images() -> None:
    assert (draws(7, 5).sum(axis=1) == 7).all()


def coco_evaluation(images: int, seed: int) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from autolabel.evaluate.precision import silence

    generator = np.random.default_rng(seed)
    truth, found = COCO(), COCO()
    drawn = generator.uniform(0, 50, (images, 3, 2))
    boxes: list[tuple[int, float, float]] = [
        (image, *place) for image, places in enumerate(drawn.tolist(), 1) for place in places
    ]
    listed = {"images": [{"id": one} for one in range(1, images + 1)], "categories": [{"id": 1, "name": "a"}]}
    truth.dataset = {**listed, "annotations": [record(number, *box, 0) for number, box in enumerate(boxes, 1)]}
    moved = [record(number, *box, generator.uniform(0, 8)) for number, box in enumerate(boxes, 1)]
    found.dataset = {**listed, "annotations": [{**one, "score": generator.random()} for one in moved]}
    with silence():
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def record(number: int, image: int, x: float, y: float, off: float) -> dict[str, object]:
    return {"id": number, "image_id": image, "category_id": 1, "bbox": [x + off, y, 20, 20], "area": 400, "iscrowd": 0}


def test_the_interval_of_ap_lies_about_pycocotools_own_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = coco_evaluation(60, 3)
    ap, ap50 = average_precision_intervals(evaluation, 60)
    assert ap is not None and ap50 is not None
    assert ap[0] < evaluation.stats[0] < ap[1] and ap[1] - ap[0] < 0.2
    assert ap50[0] <= evaluation.stats[1] <= ap50[1]
    monkeypatch.setattr("autolabel.evaluate.intervals.draws", lambda images, count: np.ones((count, images)))
    ap, ap50 = average_precision_intervals(evaluation, 60)
    assert ap == pytest.approx((evaluation.stats[0],) * 2, abs=1e-9)
    assert ap50 == pytest.approx((evaluation.stats[1],) * 2, abs=1e-9)
