"""The sparse search finds exactly the pairs that a full matrix holds."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.types.boxes import iou
from autolabel.types.neighbours import CANDIDATES, FEW, Neighbours, overlaps

Boxes = npt.NDArray[np.float32]


def cloud(seed: int, n: int, kind: str) -> Boxes:
    """Return boxes that jitter round shared objects, that sit on a coarse lattice, or of any size at all."""
    random = np.random.default_rng(seed)
    if kind == "lattice":
        corners = random.integers(0, 12, (n, 2, 2))
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    if kind == "any":
        low = random.uniform(0, 500, (n, 2))
        return np.concatenate([low, low + np.exp(random.uniform(-5, 6, (n, 2)))], axis=1).astype(np.float32)
    objects = max(1, n // 5)
    centre, size = random.uniform(0, 4000, (objects, 2)), np.exp(random.uniform(3, 6, (objects, 2)))
    which = random.integers(0, objects, n)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)[which]
    return (boxes + random.normal(0, 0.06, (n, 4)) * np.tile(size, 2)[which]).astype(np.float32)


def reference(boxes: Boxes, threshold: float, groups: npt.NDArray[np.int64] | None) -> set[tuple[int, int, float]]:
    full = iou(boxes, boxes)
    near = np.triu(full >= threshold, k=1)
    if groups is not None:
        near &= groups[:, None] == groups[None, :]
    return {(int(i), int(j), float(full[i, j])) for i, j in zip(*np.nonzero(near), strict=True)}


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 40) | st.integers(FEW - 1, FEW + 200),
    kind=st.sampled_from(["jitter", "lattice", "any"]),
    threshold=st.sampled_from([1e-6, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0]),
    kinds=st.sampled_from([None, 1, 4, 1000]),
)
def test_equals_the_full_matrix(seed: int, n: int, kind: str, threshold: float, kinds: int | None) -> None:
    boxes = cloud(seed, n, kind)
    groups = None if kinds is None else np.random.default_rng(seed).integers(0, kinds, n)
    i, j, ratio = overlaps(boxes, threshold, groups=groups)
    found = list(zip(i.tolist(), j.tolist(), ratio.tolist(), strict=True))
    assert set(found) == reference(boxes, threshold, groups)
    assert [pair[:2] for pair in found] == sorted({pair[:2] for pair in found})


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.75])
def test_pairs_at_the_very_threshold_are_found(threshold: float) -> None:
    """Same box scaled by exactly the threshold along one axis, at sizes on both sides of every level."""
    sizes = np.geomspace(1, 4096, 400)
    large = np.stack([np.zeros(400), np.arange(400) * 5000, sizes, np.arange(400) * 5000 + sizes], axis=1)
    small = large.copy()
    small[:, 2] = large[:, 2] * threshold
    boxes = np.concatenate([large, small])
    full = np.array([iou(boxes[k : k + 1], boxes[k + 400 : k + 401])[0, 0] for k in range(400)])
    i, j, _ = overlaps(boxes, threshold)
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == {(k, k + 400) for k in np.flatnonzero(full >= threshold)}
    assert len(i) > 100


def test_memory_grows_with_overlaps_only() -> None:
    boxes = cloud(0, 10_000, "jitter")
    tracemalloc.start()
    overlaps(boxes, 0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6


def test_a_search_stays_within_its_limit_on_identical_boxes() -> None:
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (20_000, 1))
    near = Neighbours(boxes, 0.5)
    answered, i, j, ratio = near.search(near.order)
    assert 1 <= answered <= CANDIDATES // 20_000
    assert len(i) == answered * 19_999
    assert np.all(i != j)
    assert np.all(ratio == 1)


def test_a_search_keeps_the_order_of_its_queries() -> None:
    near = Neighbours(cloud(1, 1000, "jitter"), 0.5)
    queries = np.random.default_rng(0).permutation(1000)
    answered, i, _, _ = near.search(queries)
    place = {int(query): k for k, query in enumerate(queries)}
    assert answered == 1000
    assert [place[k] for k in i.tolist()] == sorted(place[k] for k in i.tolist())


@pytest.mark.parametrize("threshold", [0, -0.5, 1.1, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be from 1e-06 to 1"):
        overlaps(np.zeros((3, 4), np.float32), threshold)
