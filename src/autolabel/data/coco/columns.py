"""Check a COCO file's annotations and store their ids by column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco.entries import Box, Crowd, Id, decode_one, join_json
from autolabel.data.coco.faults import Faults

_Int64 = npt.NDArray[np.int64]
_CHUNK = 512
"""Annotations read at a time: few enough to stay in the processor's cache."""


class _Checked(msgspec.Struct, gc=False):
    """The fields that are checked of every annotation; its segmentation stays text."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: Box
    area: float | None = None
    iscrowd: Crowd = 0
    segmentation: msgspec.Raw = msgspec.Raw(b"null")


class _PlainAnnotation(_Checked, gc=False, forbid_unknown_fields=True):
    """An annotation with COCO's fields only."""


@dataclass(slots=True, eq=False)
class _Columns:
    """Ids of N annotations; ``valid`` is False for unreadable ones."""

    ids: _Int64
    images: _Int64
    categories: _Int64
    valid: npt.NDArray[np.bool_]
    has_extra: bool = False

    def fill(self, start: int, read: Sequence[_Checked]) -> None:
        """Add consecutive annotations from ``start``."""
        span = slice(start, start + len(read))
        self.ids[span] = [annotation.id for annotation in read]
        self.images[span] = [annotation.image_id for annotation in read]
        self.categories[span] = [annotation.category_id for annotation in read]
        self.valid[span] = True


_plain, _checked = msgspec.json.Decoder(list[_PlainAnnotation]), msgspec.json.Decoder(list[_Checked])
_single = msgspec.json.Decoder(_Checked)


def read_columns(raws: Sequence[msgspec.Raw], faults: Faults) -> _Columns:
    """Check the form of every annotation and return the ids."""
    count = len(raws)
    ids, images, categories = np.zeros((3, count), np.int64)
    columns = _Columns(ids, images, categories, np.zeros(count, bool))
    for start in range(0, count, _CHUNK):
        chunk = raws[start : start + _CHUNK]
        text = join_json(chunk)
        try:
            columns.fill(start, _read(text, columns))
        except msgspec.DecodeError:
            _one_by_one(chunk, start, columns, faults)
    return columns


def _read(text: bytes, columns: _Columns) -> Sequence[_Checked]:
    if not columns.has_extra:
        try:
            return _plain.decode(text)
        except msgspec.ValidationError as error:
            if "unknown field" not in str(error):
                raise
        columns.has_extra = True
    return _checked.decode(text)


def _one_by_one(raws: Sequence[msgspec.Raw], start: int, columns: _Columns, faults: Faults) -> None:
    """Read annotations one by one, repairing or leaving out invalid ones."""
    for number, raw in enumerate(raws, start):
        try:
            columns.fill(number, [_single.decode(raw)])
            continue
        except msgspec.DecodeError:
            pass
        try:
            one, _ = decode_one(raw)
            columns.ids[number] = one.id or 0
            columns.images[number], columns.categories[number] = one.image_id, one.category_id
            columns.valid[number] = columns.has_extra = True
        except ValueError as error:
            pointer, _, message = str(error).partition(": ")
            faults.skip(f"/annotations/{number}{pointer}", message)


def link(columns: _Columns, images: Sequence[int], categories: Sequence[int], faults: Faults) -> _Int64:
    """Return the index of each annotation's image, -1 for annotations without image or category, which are left out.

    Duplicate annotation ids are allowed: exports assign new ones, and keep the old as ``given_id``.
    """
    _remark_doubled(columns, faults)
    groups = _index(columns.images, images)
    usable = columns.valid.copy()
    for field, column, found in (
        ("image_id", columns.images, groups),
        ("category_id", columns.categories, _index(columns.categories, categories)),
    ):
        for number in np.flatnonzero((found < 0) & usable):
            kind = field.removesuffix("_id")
            faults.skip(f"/annotations/{number}/{field}", f"no {kind} has the id {column[number]}")
            usable[number] = False
    groups[~usable] = -1
    return groups


def _remark_doubled(columns: _Columns, faults: Faults) -> None:
    numbers = np.flatnonzero(columns.valid & (columns.ids != 0))
    ids = columns.ids[numbers]
    order = np.argsort(ids, kind="stable")
    again = np.flatnonzero(ids[order][1:] == ids[order][:-1]) + 1
    for place in again[: faults.limit]:
        number, earlier = numbers[order[place]], numbers[order[place - 1]]
        faults.remark(f"/annotations/{number}/id", f"{columns.ids[number]} is taken by /annotations/{earlier}")


def _index(values: _Int64, ids: Sequence[int]) -> _Int64:
    """Return the index of each value in ``ids``, -1 if absent."""
    if not ids:
        return np.full(len(values), -1, np.int64)
    known = np.asarray(ids, np.int64)
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known[order], values), len(known) - 1)
    found: _Int64 = np.where(known[order][place] == values, order[place], -1)
    return found
