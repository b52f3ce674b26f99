"""The objects of one image: selection, construction, lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autolabel.types import Instances

THREE = Instances.build(
    [[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]], scores=[0.1, 0.2, 0.3], labels=[0, 1, 0], rounds=2, sources=[("a",)] * 3
)


def test_a_selection_keeps_the_columns_and_their_order() -> None:
    picked = THREE.take([2, 0])
    assert picked.scores.tolist() == pytest.approx([0.3, 0.1])
    assert picked.labels.tolist() == [0, 0] and picked.sources == (("a",), ("a",))
    assert THREE.take([True, False, True]).boxes.tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    assert len(THREE.take(np.zeros(3, bool))) == 0
    assert len(Instances.empty().take(np.zeros(0, bool))) == 0


def test_a_selection_of_all_is_the_same_objects() -> None:
    assert THREE.take(np.ones(3, bool)) is THREE
    assert THREE.take([0, 1, 2]).boxes.tolist() == THREE.boxes.tolist()


def test_rounds_are_one_or_one_each() -> None:
    assert THREE.rounds.tolist() == [2, 2, 2] and THREE.rounds.dtype == np.int16
    assert Instances.build(THREE.boxes, scores=THREE.scores, labels=[0] * 3, rounds=[1, 2, 3]).rounds.tolist() == [
        1,
        2,
        3,
    ]
    with pytest.raises(ValueError, match="broadcast"):
        Instances.build(THREE.boxes, scores=THREE.scores, labels=[0] * 3, rounds=[1, 2])
    with pytest.raises(OverflowError):
        Instances.build(THREE.boxes, scores=THREE.scores, labels=[0] * 3, rounds=1 << 20)


def test_built_columns_are_not_those_of_the_caller() -> None:
    rounds = np.array([1, 2, 3], np.int16)
    built = Instances.build(THREE.boxes, scores=THREE.scores, labels=[0] * 3, rounds=rounds)
    rounds[0] = 9
    assert built.rounds.tolist() == [1, 2, 3]


@pytest.mark.parametrize("column", ["scores", "labels", "rounds", "sources"])
def test_columns_have_one_length(column: str) -> None:
    short: Any = {"scores": [0.5], "labels": [0], "rounds": [0] * 3, "sources": [("a",)]}[column]
    columns: dict[str, Any] = {"scores": [0.5] * 2, "labels": [0] * 2} | {column: short}
    with pytest.raises(ValueError, match=f"{column} must have 2 entries as boxes has, got 1|broadcast"):
        Instances.build(np.zeros((2, 4)), **columns)
