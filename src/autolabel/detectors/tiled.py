"""A detector that is applied to a large image tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autolabel.errors import ImageError
from autolabel.strategies import Detector, Requests, Strategy
from autolabel.types import Image, Instances, Prompt, Rle, Sample, Size
from autolabel.weights import Licence

if TYPE_CHECKING:
    import numpy.typing as npt

_TOUCH = 0.01
"""The distance from a tile's edge, as a share of its side, within which a box counts as cut."""
_LEAST = 2.0
"""The least such distance in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How an image is cut into tiles."""

    size: int
    """Side of a tile in pixels."""
    overlap: float
    """Minimum overlap of neighbours, as a share of the side."""
    whole: bool
    """Whether the detector looks at the whole image besides."""
    batch: int
    """The number of tiles in one forward pass."""


class _Tile(NamedTuple):
    """A part of an image: half-open pixel bounds."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left


class Tiled(Detector):
    """Runs another detector on every tile of an image, and concatenates the results without merging.

    Memory holds the pixels of a batch's images and the prepared items of a few tiles; vision features are not kept
    between queries.
    """

    name = "tiled"

    def __init__(self, detector: Detector, tiles: Tiles) -> None:
        super().__init__(Strategy.Params())
        self.detector = detector
        self.tiles = tiles
        self.gives = detector.gives

    def load(self, device: str) -> None:
        """Load the detector."""
        self.detector.load(device)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the same key for all images, which are processed one by one."""
        return ()

    def files(self) -> Sequence[Path]:
        """Return the detector's files."""
        return self.detector.files()

    def check(self) -> None:
        """Check the detector's weights."""
        self.detector.check()

    def licence(self) -> Licence:
        """Return the licence of the detector's weights."""
        return self.detector.licence()

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        """Return the samples unchanged; the features of all tiles would not fit in memory."""
        return batch

    def detect(
        self, prepared: Sequence[Sample], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances | ImageError]:
        """Return the detections in the tiles of each image, in pixels of the image, tile by tile."""
        return [self.search(sample, prompt, floor) for sample, prompt in zip(prepared, prompts, strict=True)]

    def search(self, sample: Sample, prompt: Prompt, floor: float) -> Instances | ImageError:
        """Return the detections in the tiles of one image, without boxes that are ``cut_off``.

        Returns an error if any tile has one, because detections would be missing.
        """
        size = sample.image.size
        parts = []
        for batch in self.batches(regions(size, self.tiles)):
            items = self.detector.prepare([self.detector.preprocess(_crop(sample, region)) for region in batch])
            answers = self.detector.detect(items, [prompt] * len(batch), floor)
            for region, found in zip(batch, answers, strict=True):
                if isinstance(found, ImageError):
                    return found
                moved = _shifted(found, region, size)
                parts.append(moved.take(~cut_off(moved, region, size, self.tiles)))
        return Instances.concatenate(parts)

    def batches(self, all_of_them: Sequence[_Tile]) -> Iterator[Sequence[_Tile]]:
        """Yield small batches of regions with equal batch keys."""
        for _, group in groupby(all_of_them, key=lambda region: self.detector.batch_key(region.size)):
            alike = list(group)
            for start in range(0, len(alike), self.tiles.batch):
                yield alike[start : start + self.tiles.batch]

    def passes(self, prompt: Prompt) -> int:
        """Return the forward passes of one tile; the number of tiles depends on the image."""
        return self.detector.passes(prompt)

    def sends_to(self) -> Sequence[str]:
        """Return where the detector sends images."""
        return self.detector.sends_to()

    def requests(self, size: Size, asked: Prompt) -> Requests:
        """Return the endpoint requests for all tiles of an image."""
        return sum((self.detector.requests(region.size, asked) for region in regions(size, self.tiles)), Requests())

    def counters(self) -> dict[str, int]:
        """Return what the detector counts."""
        return self.detector.counters()


def regions(size: Size, tiles: Tiles) -> list[_Tile]:
    """Return the tiles of an image of ``size``, row by row, followed by the whole image if ``tiles.whole``.

    Neighbours overlap by at least ``tiles.overlap`` of a side; the outer ones end at the image's edges. An image that
    fits in one tile is one region.
    """
    height, width = size
    rows, columns = _starts(height, tiles), _starts(width, tiles)
    side = tiles.size
    cut = [_Tile(x, y, min(x + side, width), min(y + side, height)) for y in rows for x in columns]
    return [*cut, _Tile(0, 0, width, height)] if tiles.whole and len(cut) > 1 else cut


def _starts(length: int, tiles: Tiles) -> list[int]:
    """Return the evenly spread start positions of tiles along a side of ``length`` pixels."""
    room = max(length - tiles.size, 0)
    step = max(tiles.size * (1 - tiles.overlap), 1)
    count = int(np.ceil(room / step)) + 1
    return [int(place) for place in np.linspace(0, room, count)]


def _crop(sample: Sample, region: _Tile) -> Sample:
    """Return a region of a sample as a new sample; its pixels are a view."""
    image = Image(id=sample.image.id, path=sample.image.path, size=region.size)
    pixels = sample.pixels[region.top : region.bottom, region.left : region.right]
    return Sample(image=image, pixels=pixels, prompt=sample.prompt, instances=Instances.empty())


def _shifted(found: Instances, region: _Tile, size: Size) -> Instances:
    """Map the detections of a region to its image of ``size``."""
    corner = np.array([region.left, region.top] * 2, np.float32)
    masks = None if found.masks is None else tuple(_pasted(mask, region, size) for mask in found.masks)
    return replace(found, boxes=found.boxes + corner, masks=masks)


def _pasted(mask: Rle | None, region: _Tile, size: Size) -> Rle | None:
    """Map a region's mask to the whole image."""
    if mask is None or region.size == size:
        return mask
    return Rle.from_crop(mask.decode(), left=region.left, top=region.top, size=size)


def cut_off(found: Instances, region: _Tile, size: Size, tiles: Tiles) -> npt.NDArray[np.bool_]:
    """Return which of N boxes are cut by a region's edge and better seen in another region.

    A box that reaches an inner edge of the region is cut. It is dropped if it is no longer, across that edge, than the
    overlap of neighbours, because one of them sees the whole object; if the whole image is used too, it is always
    dropped.
    """
    height, width = size
    x1, y1, x2, y2 = found.boxes.T
    near_x, near_y = (max(_TOUCH * side, _LEAST) for side in (region.size[1], region.size[0]))
    across_x = ((x1 <= region.left + near_x) & (region.left > 0)) | (
        (x2 >= region.right - near_x) & (region.right < width)
    )
    across_y = ((y1 <= region.top + near_y) & (region.top > 0)) | (
        (y2 >= region.bottom - near_y) & (region.bottom < height)
    )
    shared = np.inf if tiles.whole else tiles.overlap * tiles.size
    cut: npt.NDArray[np.bool_] = (across_x & (x2 - x1 <= shared)) | (across_y & (y2 - y1 <= shared))
    return cut
