"""Which rows a list of the page shows, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.results.record import encode_labels
from autolabel.review.order import CHECKED, LEFT_OUT, TOUCHED, UNTOUCHED, Query, listed, sample
from autolabel.review.row_index import RowIndex
from autolabel.types import Image, Instances, Labels, Prompt

BOXES: tuple[tuple[tuple[str, float, int], ...], ...] = (
    (("red", 0.9, 2), ("blue", 0.4, 2)),
    (("red", 0.7, 1),),
    (),
    (("blue", 0.8, 2), ("blue", 0.6, 2), ("blue", 0.5, 2)),
    (("red", 0.3, 2),),
)
"""Class, score and number of supporting labelers (of two) of the boxes of each row."""
FLAGS = bytearray([UNTOUCHED, TOUCHED, CHECKED, LEFT_OUT, UNTOUCHED])


def row(number: int) -> Labels:
    """Return one row of the ledger."""
    boxes = BOXES[number]
    classes = ("red", "blue")
    instances = Instances.build(
        np.array([[1 + 9 * place, 2, 9 + 9 * place, 20] for place in range(len(boxes))]).reshape(-1, 4),
        scores=[score for _, score, _ in boxes],
        labels=[classes.index(name) for name, _, _ in boxes],
        sources=[("a", "b")[:count] for *_, count in boxes],
    )
    image = Image(id=f"street/{number}.png", path="", size=(64, 64))
    return Labels(image=image, prompt=Prompt(classes), instances=instances)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[RowIndex]:
    ledger = tmp_path / "labels.jsonl"
    ledger.write_bytes(b"".join(encode_labels(row(number), plan="p") + b"\n" for number in range(len(BOXES))))
    made = RowIndex(ledger, ("red", "blue"), rows=len(BOXES), labelers=2)
    made.build()
    assert made.error is None
    yield made
    made.close()


def shown(index: RowIndex, images: list[int] | None = None, **query: Any) -> list[int]:
    return listed(index, Query(**query), flags=lambda: FLAGS, images=images).tolist()


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        ("name", [0, 1, 2, 3, 4]),
        ("least", [4, 0, 3, 1, 2]),
        ("most", [1, 3, 0, 4, 2]),
        ("boxes", [3, 0, 1, 4, 2]),
        ("disagreement", [1, 0, 2, 3, 4]),
    ],
)
def test_orders(index: RowIndex, order: str, rows: list[int]) -> None:
    assert shown(index, order=order) == rows


def test_random_order_is_a_permutation_that_does_not_change(index: RowIndex) -> None:
    rows = shown(index, order="random")
    assert sorted(rows) == [0, 1, 2, 3, 4] and rows != [0, 1, 2, 3, 4]
    assert shown(index, order="random") == rows
    kept = shown(index, order="random", phrase="red")
    assert kept == [row for row in rows if row in {0, 1, 4}], "a filter does not reorder the others"


@pytest.mark.parametrize(
    ("show", "rows"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("undecided", [0, 4]),
        ("unchecked", [0, 1, 4]),
        ("checked", [2]),
        ("left_out", [3]),
        ("empty", [2]),
        ("labelled", [0, 1, 3, 4]),
    ],
)
def test_filters_by_state(index: RowIndex, show: str, rows: list[int]) -> None:
    assert shown(index, order="name", show=show) == rows


def test_filters_by_class_and_name_are_combined(index: RowIndex) -> None:
    assert shown(index, order="name", phrase="blue") == [0, 3]
    assert shown(index, order="name", text="EET/3") == [3], "letter case does not matter"
    assert shown(index, order="name", phrase="red", text="3.png") == []
    assert shown(index, order="name", phrase="green") == []


def test_a_given_list_keeps_its_order_and_limits_every_query(index: RowIndex) -> None:
    assert shown(index, [4, 1, 3], order="list") == [4, 1, 3]
    assert shown(index, [4, 1, 3], order="boxes") == [3, 4, 1]
    assert shown(index, [4, 1, 3], order="list", show="undecided") == [4]


def test_rows_that_are_not_yet_indexed_are_left_out(index: RowIndex) -> None:
    assert shown(index, [0, 7], order="list") == [0]
    behind = listed(index, Query(order="name", show="unchecked"), flags=lambda: FLAGS[:2], images=None)
    assert behind.tolist() == [0, 1], "rows without a flag yet"


def test_a_sample_depends_on_its_name_and_grows_with_its_size(index: RowIndex) -> None:
    first = sample(index, "pilot", 3)
    assert len(set(first)) == 3 and set(first) <= set(range(5))
    assert sample(index, "pilot", 5)[:3] == first
    assert sorted(sample(index, "pilot", 100)) == [0, 1, 2, 3, 4]
    assert {tuple(sample(index, str(name), 5)) for name in range(8)} != {tuple(sample(index, "pilot", 5))}
