"""Select and order the rows of a run for the page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from autolabel.review.row_index import RowIndex, Rows

_Order = Literal["least", "most", "boxes", "disagreement", "name", "random", "list"]
_Show = Literal["all", "unchecked", "checked", "undecided", "left_out", "empty", "labelled"]

ORDERS: tuple[_Order, ...] = ("least", "most", "boxes", "disagreement", "name", "random", "list")
SHOWS: tuple[_Show, ...] = ("all", "unchecked", "checked", "undecided", "left_out", "empty", "labelled")

UNTOUCHED, TOUCHED, CHECKED, LEFT_OUT = range(4)
"""The state of a row: nothing decided, some boxes decided, checked, left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A page's query."""

    order: _Order = "least"
    show: _Show = "all"
    phrase: str = ""
    """Only rows that have a box of this class; empty for all."""
    text: str = ""
    """Only images whose name contains this."""


def listed(index: RowIndex, query: Query, *, flags: Callable[[], bytearray], images: Sequence[int] | None) -> Rows:
    """Return the rows that a query asks for, in its order.

    ``flags`` returns one byte per row (UNTOUCHED ... LEFT_OUT); ``images`` are the rows of a given list, to which the
    result is limited.
    """
    count = len(index)
    rows = np.arange(count) if images is None else np.asarray(images, np.int64)
    rows = rows[rows < count]
    if query.text:
        rows = rows[np.isin(rows, index.search(query.text))]
    if query.phrase:
        rows = rows[np.isin(rows, index.with_class(query.phrase))]
    rows = _shown(index, rows, query.show, flags)
    return _ordered(index, rows, query.order)


def _shown(index: RowIndex, rows: Rows, show: _Show, flags: Callable[[], bytearray]) -> Rows:
    if show == "all":
        return rows
    if show in ("empty", "labelled"):
        boxes = np.fromiter((index.boxes(row) for row in rows.tolist()), np.int64, len(rows))
        without: Rows = rows[(boxes == 0) == (show == "empty")]
        return without
    state = np.frombuffer(flags(), np.uint8)
    rows = rows[rows < len(state)]
    state = state[rows]
    wanted = {
        "unchecked": state < CHECKED,
        "checked": state == CHECKED,
        "undecided": state == UNTOUCHED,
        "left_out": state == LEFT_OUT,
    }[show]
    chosen: Rows = rows[wanted]
    return chosen


def _ordered(index: RowIndex, rows: Rows, order: _Order) -> Rows:
    if order in ("name", "list"):
        return rows
    keys: npt.NDArray[np.float64]
    if order == "random":
        keys = np.random.default_rng(0).random(int(rows.max(initial=0)) + 1)[rows]
    elif order == "boxes":
        keys = -np.fromiter((index.boxes(row) for row in rows.tolist()), np.float64, len(rows))
    elif order == "disagreement":
        keys = -index.disputed()[rows].astype(np.float64)
    else:
        keys = index.least()[rows].astype(np.float64)
        keys = -np.where(keys > 1, -1, keys) if order == "most" else keys
    ordered: Rows = rows[np.argsort(keys, kind="stable")]
    return ordered


def sample(index: RowIndex, name: str, size: int) -> list[int]:
    """Return a uniform random sample of ``size`` rows, which depends only on the name and the run."""
    drawn = sorted(
        (hashlib.sha256(f"{name}\n{index.name(row)}\n{row}".encode("utf-8", "surrogatepass")).digest()[:8], row)
        for row in range(len(index))
    )
    return [row for _, row in drawn[:size]]
