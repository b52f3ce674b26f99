"""NMS on masks against the definition, on decoded pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.testing import check_aggregator
from autolabel.types import Instances, Rle, Round
from autolabel.types.boxes import iou
from autolabel_aggregators.mask_nms import MaskNms
from autolabel_aggregators.nms import Nms

OWN = Round(index=0, conf_threshold=0.5)
SIZE = (30, 40)


def blobs(seed: int, n: int, *, bare: float = 0.0) -> Instances:
    """Return ellipses round a few centres; each lacks its mask with the chance ``bare``."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    masks: list[Rle | None] = []
    boxes = []
    for _ in range(n):
        y, x = random.choice([8, 12, 20]), random.choice([10, 14, 30])
        tall, wide = random.uniform(2, 8, 2)
        mask = ((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1
        masks.append(None if random.random() < bare else Rle.encode(mask))
        boxes.append([x - wide, y - tall, x + wide, y + tall])
    return Instances.build(
        boxes, scores=random.permutation(n) / max(n, 1), labels=random.integers(0, 2, n), masks=masks
    )


def ratio(found: Instances, i: int, j: int) -> float:
    first, second = (found.masks or ())[i], (found.masks or ())[j]
    if first is None or second is None:
        return float(iou(found.boxes[i : i + 1], found.boxes[j : j + 1])[0, 0])
    a, b = first.decode(), second.decode()
    return float((a & b).sum() / max((a | b).sum(), 1))


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 16),
    threshold=st.sampled_from([0.1, 0.5, 0.8]),
    across=st.booleans(),
    bare=st.sampled_from([0.0, 0.4]),
)
def test_equals_the_definition(seed: int, n: int, threshold: float, across: bool, bare: float) -> None:
    found = blobs(seed, n, bare=bare)
    kept: list[int] = []
    for i in sorted(range(n), key=lambda i: -found.scores[i]):
        rivals = [j for j in kept if across or found.labels[i] == found.labels[j]]
        if all(ratio(found, i, j) <= threshold for j in rivals):
            kept.append(i)
    out = MaskNms(MaskNms.Params(threshold=threshold, across_labels=across)).aggregate(found, OWN)
    assert out.scores.tolist() == found.scores[kept].tolist()
    assert out.masks == tuple((found.masks or ())[i] for i in kept) or not kept


def test_things_whose_boxes_overlap_and_whose_masks_do_not_are_both_kept() -> None:
    upper = np.triu(np.ones(SIZE, bool), 2)
    found = Instances.build(
        [[0, 0, 40, 30]] * 2, scores=[0.9, 0.8], labels=[0, 0], masks=[Rle.encode(upper), Rle.encode(~upper)]
    )
    assert len(MaskNms(MaskNms.Params()).aggregate(found, OWN)) == 2
    assert len(Nms(Nms.Params()).aggregate(found, OWN)) == 1


def test_without_masks_it_is_nms() -> None:
    random = np.random.default_rng(0)
    low = random.uniform(0, 20, (50, 2))
    boxes = np.concatenate([low, low + random.uniform(5, 20, (50, 2))], axis=1)
    found = Instances.build(boxes, scores=random.random(50), labels=random.integers(0, 2, 50))
    kept = [strategy.aggregate(found, OWN) for strategy in (MaskNms(MaskNms.Params()), Nms(Nms.Params(threshold=0.5)))]
    assert kept[0].boxes.tolist() == kept[1].boxes.tolist()


def test_the_round_rules_over_the_parameter_and_0_changes_nothing() -> None:
    found = blobs(3, 12)
    strict = Round(index=0, conf_threshold=0.5, nms_threshold=0.05)
    assert len(MaskNms(MaskNms.Params(threshold=0.9)).aggregate(found, strict)) < len(
        MaskNms(MaskNms.Params(threshold=0.9)).aggregate(found, OWN)
    )
    assert MaskNms(MaskNms.Params()).aggregate(found, Round(index=0, conf_threshold=0.5, nms_threshold=0)) is found


@pytest.mark.parametrize("params", [{}, {"across_labels": True}])
def test_contract(params: dict[str, Any]) -> None:
    check_aggregator(MaskNms, params)
