"""Check the segmentations of a COCO file without decoding masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco.entries import CocoImage, Side, join_json
from autolabel.data.coco.faults import Faults, translate
from autolabel.types.runs import rle_fault, sum_fault, totals

_Int64 = npt.NDArray[np.int64]
_CHUNK = 512
"""Annotations looked at together."""
_Run = Annotated[int, msgspec.Meta(ge=0)]
_Polygon = Annotated[list[float], msgspec.Meta(min_length=6)]


class _Runs(msgspec.Struct, gc=False):
    """An RLE as in the file."""

    size: tuple[Side, Side]
    counts: str | list[_Run]


class _Masked(msgspec.Struct, gc=False):
    """The segmentation of an annotation."""

    segmentation: _Runs | list[_Polygon] | None = None


_decoder = msgspec.json.Decoder(list[_Masked])
_single = msgspec.json.Decoder(_Masked)


def check_masks(
    raws: Sequence[msgspec.Raw], groups: _Int64, images: Sequence[CocoImage], faults: Faults
) -> frozenset[int]:
    """Return the annotations whose segmentation is malformed, of another size, or an RLE with a wrong sum.

    Each gets a remark; its box can still be used.

    ``groups`` (N,) is the index of each annotation's image, -1 for annotations that were already reported.
    """
    broken = _Broken(faults)
    sizes = np.asarray([(image.height or 0, image.width or 0) for image in images], np.int64).reshape(-1, 2)
    for start in range(0, len(raws), _CHUNK):
        chunk = raws[start : start + _CHUNK]
        try:
            read = _decoder.decode(join_json(chunk))
        except msgspec.DecodeError:
            read = _one_by_one(chunk, start, groups, broken)
        strings: list[tuple[int, Any]] = []
        for number, (masked, group) in enumerate(
            zip(read, groups[start : start + _CHUNK].tolist(), strict=True), start
        ):
            written = masked.segmentation
            if written is None or group < 0:
                continue
            if type(written) is _Runs and type(written.counts) is str:
                strings.append((number, written))
            elif fault := _fault(written, sizes[group]):
                broken.add(number, "/segmentation", fault)
        _check_strings(strings, groups, sizes, broken)
    return frozenset(broken.numbers)


class _Broken:
    """Annotations whose masks cannot be read."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.numbers: set[int] = set()

    def add(self, number: int, place: str, fault: str) -> None:
        """Add one."""
        if number not in self.numbers:
            self.faults.remark(f"/annotations/{number}{place}", fault)
        self.numbers.add(number)


def _one_by_one(raws: Sequence[msgspec.Raw], start: int, groups: _Int64, broken: _Broken) -> list[_Masked]:
    read = []
    for number, raw in enumerate(raws, start):
        try:
            read.append(_single.decode(raw))
        except msgspec.DecodeError as error:
            read.append(_Masked())
            place, message = translate(error, raw)
            if groups[number] >= 0:
                broken.add(number, place, message)
    return read


def _fault(written: _Runs | list[Any], size: _Int64) -> str:
    if isinstance(written, list):
        odd = next((len(polygon) for polygon in written if len(polygon) % 2), 0)
        return f"a polygon must have an even number of coordinates, got {odd}" if odd else ""
    if size.all() and written.size != tuple(size):
        return f"the size of an RLE must be {size.tolist()} as the image is, got {list(written.size)}"
    if isinstance(written.counts, list):
        return sum_fault(sum(written.counts), written.size)
    return rle_fault(written.counts, written.size)


def _check_strings(strings: list[tuple[int, Any]], groups: _Int64, sizes: _Int64, broken: _Broken) -> None:
    """Check all strings at once, and then each faulty one for the reason."""
    if not strings:
        return
    own = np.asarray([runs.size for _, runs in strings], np.int64)
    stated = sizes[groups[[number for number, _ in strings]]]
    right_size = (own == np.where(stated > 0, stated, own)).all(axis=1)
    right_sum = totals([runs.counts for _, runs in strings]) == own.prod(axis=1)
    for place in np.flatnonzero(~(right_size & right_sum)):
        number, runs = strings[place]
        broken.add(number, "/segmentation", _fault(runs, stated[place]))
