"""Check the segmentations of a COCO file without decoding a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco_entries import CocoImage, join
from autolabel.data.coco_faults import Faults, translate
from autolabel.types import Rle
from autolabel.types.runs import totals as run_totals

Int64 = npt.NDArray[np.int64]
CHUNK = 512
Run = Annotated[int, msgspec.Meta(ge=0)]
Polygon = Annotated[list[float], msgspec.Meta(min_length=6)]


class Runs(msgspec.Struct, gc=False):
    """An RLE as it is written."""

    size: tuple[int, int]
    counts: str | list[Run]


class Masked(msgspec.Struct, gc=False):
    """The segmentation of an annotation."""

    segmentation: Runs | list[Polygon] | None = None


_decoder = msgspec.json.Decoder(list[Masked])
_single = msgspec.json.Decoder(Masked)


def check_masks(raws: Sequence[msgspec.Raw], groups: Int64, images: Sequence[CocoImage], faults: Faults) -> None:
    """Report segmentations of a wrong form or size, and RLEs whose runs do not add up.

    ``groups`` (N,) gives the index of each annotation's image, -1 for those that are reported already.
    """
    sizes = [(image.height, image.width) for image in images]
    for start in range(0, len(raws), CHUNK):
        chunk = raws[start : start + CHUNK]
        try:
            read = _decoder.decode(join(chunk))
        except msgspec.DecodeError:
            read = _one_by_one(chunk, start, groups, faults)
        strings: dict[int, Runs] = {}
        for number, masked in enumerate(read, start):
            written, group = masked.segmentation, int(groups[number])
            if written is None or group < 0:
                continue
            if message := _fault(written, sizes[group]):
                faults.add(f"/annotations/{number}/segmentation", message)
            elif isinstance(written, Runs) and isinstance(written.counts, str):
                strings[number] = written
        _check_strings(strings, faults)


def _one_by_one(raws: Sequence[msgspec.Raw], start: int, groups: Int64, faults: Faults) -> list[Masked]:
    read = []
    for number, raw in enumerate(raws, start):
        try:
            read.append(_single.decode(raw))
        except msgspec.DecodeError as error:
            read.append(Masked())
            place, message = translate(error, raw)
            if groups[number] >= 0:
                faults.add(f"/annotations/{number}{place}", message)
    return read


def _fault(written: Runs | list[Any], size: tuple[int | None, int | None]) -> str:
    if isinstance(written, list):
        odd = next((len(polygon) for polygon in written if len(polygon) % 2), 0)
        return f"a polygon must have an even number of coordinates, got {odd}" if odd else ""
    if None not in size and written.size != size:
        return f"the size of an RLE must be {list(size)} as the image is, got {list(written.size)}"
    if min(written.size) < 1:
        return f"the size of an RLE must be positive, got {list(written.size)}"
    if isinstance(written.counts, list):
        return _sum_fault(sum(written.counts), written.size)
    return ""


def _sum_fault(total: int, size: tuple[int, int]) -> str:
    pixels = size[0] * size[1]
    if total == pixels:
        return ""
    side = "short" if total < pixels else "long"
    return f"an RLE is too {side}: its runs add up to {total}, the image has {pixels} pixels"


def _check_strings(strings: dict[int, Runs], faults: Faults) -> None:
    if not strings:
        return
    totals = run_totals([str(runs.counts) for runs in strings.values()])
    pixels = np.asarray([runs.size[0] * runs.size[1] for runs in strings.values()])
    numbers = list(strings)
    for place in np.flatnonzero(totals != pixels):
        runs = strings[numbers[place]]
        try:
            Rle.from_coco({"size": list(runs.size), "counts": runs.counts}, runs.size)
        except ValueError as error:
            faults.add(f"/annotations/{numbers[place]}/segmentation", str(error))
