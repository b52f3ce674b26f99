"""Match decisions to boxes: the identical box, otherwise the closest one of the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.results.decision import Decision
from autolabel.types.boxes import iou
from autolabel.types.neighbours import Neighbours

_SAME = 0.7
"""The minimum IoU at which boxes of one phrase are the same object: the default of ``nms``."""
_ALL_PAIRS = 1 << 20
"""Up to so many pairs, all are looked at; beyond, a grid finds those that overlap."""
_MOST_PAIRS = 1 << 21
"""The most overlapping pairs that are considered; only a hostile file has more."""

_Boxes = npt.NDArray[np.float64]
_Index = npt.NDArray[np.int64]


def assign(boxes: npt.NDArray[Any], phrases: Sequence[str], decisions: Sequence[Decision]) -> list[int]:
    """Return for each decision the index of the (N, 4) box that it is about, or -1.

    The matching is one-to-one: identical boxes first, then the closest pairs of equal phrase with an overlap of at
    least SAME. A box that a person moved or reclassified is recognised in its old and in its new form.
    """
    out = [-1] * len(decisions)
    if not len(boxes) or not decisions:
        return out
    taken = _assign_equal(boxes, phrases, decisions, out)
    open_boxes = np.flatnonzero(~taken)
    waiting = [index for index, box in enumerate(out) if box < 0]
    if not len(open_boxes) or not waiting:
        return out
    asked = [(index, *one) for index in waiting for one in _forms(decisions[index])]
    first, second, overlap = _pairs(
        np.asarray([box for _, _, box in asked], np.float64).reshape(-1, 4),
        [phrase for _, phrase, _ in asked],
        np.asarray(boxes, np.float64)[open_boxes],
        [phrases[index] for index in open_boxes.tolist()],
    )
    owner = np.asarray([index for index, _, _ in asked], np.int64)
    for place in np.argsort(-overlap, kind="stable").tolist():
        decision, box = int(owner[first[place]]), int(open_boxes[second[place]])
        if out[decision] < 0 and not taken[box]:
            out[decision], taken[box] = box, True
    return out


def _assign_equal(
    boxes: npt.NDArray[Any], phrases: Sequence[str], decisions: Sequence[Decision], out: list[int]
) -> npt.NDArray[np.bool_]:
    """Match decisions to identical boxes; return which boxes (N,) are taken."""
    taken = np.zeros(len(boxes), bool)
    places: dict[tuple[str, tuple[float, ...]], list[int]] = {}
    rows = np.asarray(boxes, np.float32).tolist()
    for index in reversed(range(len(rows))):
        places.setdefault((phrases[index], tuple(rows[index])), []).append(index)
    stated = _corners(decisions).astype(np.float32).tolist()
    for index, (one, box) in enumerate(zip(decisions, stated, strict=True)):
        equal = places.get((one.phrase or "", tuple(box)))
        if equal:
            out[index] = equal.pop()
            taken[out[index]] = True
    return taken


def _forms(one: Decision) -> list[tuple[str, tuple[float, ...]]]:
    """Return the old and the new phrase and position of a box."""
    forms = [(one.phrase or "", tuple(one.bbox or ())), (one.final_phrase, tuple(one.place))]
    return forms if forms[0] != forms[1] else forms[:1]


def _corners(decisions: Sequence[Decision]) -> _Boxes:
    """Return the (N, 4) boxes of decisions about boxes."""
    return np.asarray([one.bbox for one in decisions], np.float64).reshape(-1, 4)


def _pairs(a: _Boxes, a_names: Sequence[str], b: _Boxes, b_names: Sequence[str]) -> tuple[_Index, _Index, _Boxes]:
    """Return the pairs of equal name and an overlap of SAME or more: indices into both, and the overlaps."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys([*a_names, *b_names]))}
    a_group = np.asarray([numbers[name] for name in a_names], np.int64)
    b_group = np.asarray([numbers[name] for name in b_names], np.int64)
    if len(a) * len(b) <= _ALL_PAIRS:
        overlap = iou(a, b)
        overlap[a_group[:, None] != b_group[None, :]] = 0
        first, second = np.nonzero(overlap >= _SAME)
        return first.astype(np.int64), second.astype(np.int64), overlap[first, second]
    return _near_pairs(np.concatenate([a, b]), np.concatenate([a_group, b_group]), len(a))


def _near_pairs(boxes: _Boxes, groups: _Index, count: int) -> tuple[_Index, _Index, _Boxes]:
    """Return the overlapping pairs between the first ``count`` boxes and the others, MOST_PAIRS at most."""
    near = Neighbours(boxes, _SAME, groups=groups)
    waiting = np.arange(count)
    found: list[tuple[_Index, _Index, _Boxes]] = []
    looked_at = 0
    while len(waiting) and looked_at < _MOST_PAIRS:
        answered, i, j, overlap = near.search(waiting)
        across = j >= count
        found.append((i[across], j[across] - count, overlap[across]))
        looked_at += len(i)
        waiting = waiting[answered:]
    first, second, overlaps = (np.concatenate(column) for column in zip(*found, strict=True))
    return first, second, overlaps
