"""Binary masks as COCO run-length encodings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from autolabel.types.image import Size
from autolabel.types.runs import compress, expand, rle_fault

if TYPE_CHECKING:
    import numpy.typing as npt

_Int64: TypeAlias = "npt.NDArray[np.int64]"
_ONE_RUN = 8
"""The longest text of a single run: five bits a character, of at most 2^40 pixels."""
_FARTHEST = 16
"""How far a polygon may reach outside, in image sides; without a limit, rasterising needs unbounded memory."""

_LONGEST_OUTLINE, _LONGEST_OUTLINES = 1_000_000, 4_000_000
"""Pixels along a polygon, and along all of an object: rasterising takes about 100 bytes for each."""


@dataclass(frozen=True, slots=True)
class Rle:
    """A mask of a whole image as COCO's compressed RLE: column-major runs, zeros first, as pycocotools writes it."""

    size: Size
    """(height, width) of the image."""
    counts: str
    """The compressed runs, ASCII."""

    @classmethod
    def encode(cls, mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8]) -> Rle:
        """Encode an (H, W) mask; nonzero is inside."""
        return cls.from_crop(mask, left=0, top=0, size=(mask.shape[0], mask.shape[1]))

    @classmethod
    def from_crop(cls, mask: npt.NDArray[np.bool_] | npt.NDArray[np.uint8], *, left: int, top: int, size: Size) -> Rle:
        """Encode an (h, w) mask at ``left``, ``top`` of an image of ``size``; all other pixels are outside.

        The bytes equal those of the encoded whole frame. Raises ValueError if the crop reaches outside the image.
        """
        height, width = mask.shape
        if left < 0 or top < 0 or left + width > size[1] or top + height > size[0]:
            raise ValueError(f"a crop of {height}x{width} at row {top}, column {left} exceeds the image {size}")
        columns = np.zeros((width + 1, height + 1), bool)
        columns[:-1, 1:] = mask.T
        flat = columns.reshape(-1)
        # A pixel of zeros leads every column, so a run that reaches the end of one ends at the next one's lead.
        column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]) + 1, height + 1)
        ends_above = row == 0
        edges = (column - ends_above + left) * size[0] + np.where(ends_above, height, row - 1) + top
        return cls(size, compress(_runs(edges, size)))

    @classmethod
    def from_coco(cls, segmentation: Any, size: Size, *, added_up: bool = False) -> Rle:
        """Read a COCO ``segmentation``: polygons, uncompressed runs, or compressed ones.

        Polygons are rasterised like pycocotools. Raises ValueError with the fault for anything else, for a size other
        than ``size``, and for runs that do not add up to the image's pixels (for which pycocotools returns
        uninitialised memory). ``added_up`` states that the sum of compressed runs was already checked, as ``read_coco``
        does in bulk.
        """
        if isinstance(segmentation, Mapping):
            return _from_mapping(segmentation, size, added_up=added_up)
        if isinstance(segmentation, list):
            return _from_polygons(segmentation, size)
        raise ValueError(f"expected a list of polygons or an RLE, got {type(segmentation).__name__}")

    def decode(self) -> npt.NDArray[np.bool_]:
        """Return the (H, W) boolean mask."""
        runs = expand(self.counts)
        inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
        return inside.reshape(self.size[::-1]).T

    def area(self) -> int:
        """Return the number of pixels inside."""
        from pycocotools import mask as coco

        return int(coco.area(self.as_coco()))

    def is_empty(self) -> bool:
        """Return whether no pixel is inside, without decoding."""
        return len(self.counts) <= _ONE_RUN and not self.area()

    def bounds(self) -> tuple[int, int, int, int]:
        """Return ``x1 y1 x2 y2`` about the pixels inside, half-open; all 0 if there are none."""
        from pycocotools import mask as coco

        left, top, width, height = (int(value) for value in coco.toBbox(self.as_coco()))
        return left, top, left + width, top + height

    def as_coco(self) -> dict[str, object]:
        """Return ``{"size": [height, width], "counts": str}``, as COCO JSON and pycocotools have it."""
        return {"size": list(self.size), "counts": self.counts}


def _runs(edges: _Int64, size: Size) -> _Int64:
    # If a column's end is the next one's start, the run continues: the two equal edges cancel out.
    joined = np.flatnonzero(edges[1:] == edges[:-1])
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    total = size[0] * size[1]
    ends = edges if len(edges) and edges[-1] == total else np.append(edges, total)
    return np.diff(ends, prepend=0)


def _from_mapping(segmentation: Mapping[str, Any], size: Size, *, added_up: bool) -> Rle:
    counts, stated = segmentation.get("counts"), segmentation.get("size")
    if not isinstance(stated, Sequence) or list(stated) != list(size):
        raise ValueError(f"the size of an RLE must be [{size[0]}, {size[1]}] as the image is, got {stated!r}")
    if isinstance(counts, list) and all(type(run) is int and 0 <= run < 2**32 for run in counts):
        counts, added_up = compress(np.asarray(counts, np.int64)), False
    if not isinstance(counts, str):
        raise ValueError("the counts of an RLE must be a string or a list of integers that are not negative")
    if not added_up and (fault := rle_fault(counts, size)):
        raise ValueError(fault)
    return Rle(size, counts)


def _from_polygons(polygons: list[Any], size: Size) -> Rle:
    if not polygons:
        raise ValueError("a segmentation has no polygon")
    total = 0.0
    for polygon in polygons:
        _check_polygon(polygon, _FARTHEST * max(size))
        length = _outline(polygon)
        total += length
        if length > _LONGEST_OUTLINE or total > _LONGEST_OUTLINES:
            fault = f"a polygon's outline is {length:,.0f} pixels long" if length > _LONGEST_OUTLINE else ""
            fault = fault or f"the outlines of {len(polygons)} polygons are {total:,.0f} pixels long"
            raise ValueError(f"{fault}, at most {_LONGEST_OUTLINE:,} each and {_LONGEST_OUTLINES:,} together are read")
    from pycocotools import mask as coco

    merged = coco.merge(coco.frPyObjects(polygons, *size))
    return Rle(size, merged["counts"].decode("ascii"))


def _outline(polygon: list[float]) -> float:
    """Return the number of pixels along a polygon, the cost of rasterising it."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return float(np.abs(np.roll(points, -1, axis=0) - points).max(axis=1).sum())


def _check_polygon(polygon: Any, farthest: int) -> None:
    if not isinstance(polygon, list) or not all(type(value) in (int, float) for value in polygon):
        raise ValueError("a polygon must be a list of numbers x1, y1, x2, y2, ...")
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"a polygon must have an even number of at least 6 coordinates, got {len(polygon)}")
    if not all(-farthest <= value <= farthest for value in polygon):
        raise ValueError(f"a polygon has a coordinate that is not finite or farther out than {farthest}")
