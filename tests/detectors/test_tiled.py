"""A detector asked tile by tile: what is covered, what is cut, what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.detectors import Tiled, Tiles
from autolabel.detectors.tiled import _Tile, cut_off, regions
from autolabel.strategies import Detector
from autolabel.testing import check_detector
from autolabel.types import Image, Instances, Prompt, Rle, Round, Sample, Size
from autolabel_aggregators.nms import Nms

ROUND = Round(index=0, conf_threshold=0.1)


def tiles(**changes: Any) -> Tiles:
    return Tiles(**{"size": 100, "overlap": 0.2, "whole": False, "batch": 4, **changes})


@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    side=st.integers(32, 200),
    overlap=st.sampled_from([0.0, 0.2, 0.5]),
)
def test_tiles_cover_the_image_and_overlap(size: Size, side: int, overlap: float) -> None:
    cut = regions(size, tiles(size=side, overlap=overlap))
    for axis in (0, 1):
        spans = sorted({(region[axis], region[axis + 2]) for region in cut})
        length = size[1 - axis]
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(end - start == min(side, length) for start, end in spans)
        assert all(first[1] - second[0] >= overlap * side - 1 for first, second in pairwise(spans))
    assert len(set(cut)) == len(cut)


def test_the_whole_image_comes_last_where_there_is_more_than_one_tile() -> None:
    assert regions((100, 100), tiles(whole=True)) == [_Tile(0, 0, 100, 100)]
    assert regions((100, 180), tiles(whole=True))[-1] == _Tile(0, 0, 180, 100)
    assert len(regions((6000, 8000), Tiles(size=640, overlap=0.2, whole=True, batch=4))) == 12 * 16 + 1


def test_what_an_inner_edge_cuts_is_left_to_the_neighbour() -> None:
    region, size = _Tile(80, 0, 180, 100), (100, 260)
    boxes = [[80, 40, 95, 60], [120, 40, 140, 60], [170, 40, 180, 60], [80, 40, 130, 60], [100, 0, 120, 30]]
    found = Instances.build(boxes, scores=[1] * 5, labels=[0] * 5)
    assert cut_off(found, region, size, tiles()).tolist() == [True, False, True, False, False]
    assert cut_off(found, region, size, tiles(whole=True)).tolist() == [True, False, True, True, False]
    alone = _Tile(0, 0, 260, 100)
    assert not cut_off(found, alone, size, tiles(whole=True)).any()


class Squares(Detector):
    """Finds white squares that are at least ``least`` pixels wide once the image is seen at most 100 pixels wide."""

    name = "squares"

    class Params(Detector.Params):
        """Nothing to set."""

    def load(self, device: str) -> None:
        self.largest = 0

    def batch_key(self, size: Size) -> tuple[int, ...]:
        return size

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Any]:
        assert len({sample.image.size for sample in batch}) <= 1, "a batch is of one key"
        self.largest = max(self.largest, len(batch))
        return [sample.pixels[..., 0] > 200 for sample in batch]

    def detect(self, prepared: Sequence[Any], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        return [self.find(white, len(prompt.phrases)) for white, prompt in zip(prepared, prompts, strict=True)]

    def find(self, white: Any, phrases: int) -> Instances:
        from scipy.ndimage import find_objects, label

        boxes, masks = [], []
        marked, _ = label(white)
        for number, (rows, columns) in enumerate(find_objects(marked), 1):
            if (columns.stop - columns.start) * min(1, 100 / max(white.shape)) >= 5 and phrases:
                boxes.append([columns.start, rows.start, columns.stop, rows.stop])
                masks.append(Rle.encode(marked == number))
        count = len(boxes)
        found = Instances.build(boxes, scores=[0.9] * count, labels=[0] * count, masks=masks)
        return found if self.gives == "masks" else replace(found, masks=None)


class MaskedSquares(Squares):
    """Gives masks, too."""

    gives = "masks"


def photo(boxes: Sequence[Sequence[int]], size: Size) -> Sample:
    pixels = np.zeros((*size, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255
    image = Image(id="a", path="a", size=size)
    return Sample(image=image, pixels=pixels, prompt=Prompt(("white",)), instances=Instances.empty())


def searched(detector: Tiled, sample: Sample) -> Instances:
    detector.load("cpu")
    [found] = detector.detect(detector.prepare([detector.preprocess(sample)]), [sample.prompt], 0.1)
    assert isinstance(found, Instances)
    return found


def scattered(seed: int, size: Size) -> list[list[int]]:
    """Return squares of 6 to 18 pixels that do not touch, one in each cell of a grid."""
    random = np.random.default_rng(seed)
    boxes = []
    for y in range(0, size[0] - 25, 25):
        for x in range(0, size[1] - 25, 25):
            side = int(random.integers(6, 19))
            left, top = (int(v) + 2 for v in random.integers(0, 23 - side, 2))
            boxes.append([x + left, y + top, x + left + side, y + top + side])
    return boxes


@pytest.mark.parametrize("whole", [False, True])
@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_every_small_object_is_found_once_and_whole(whole: bool, seed: int) -> None:
    size = (230, 310)
    boxes = scattered(seed, size)
    sample = photo(boxes, size)
    found = searched(Tiled(Squares(Squares.Params()), tiles(whole=whole)), sample)
    merged = Nms(Nms.Params()).aggregate(found, ROUND)
    assert sorted(merged.boxes.tolist()) == sorted([float(v) for v in box] for box in boxes)
    plain = Squares(Squares.Params())
    plain.load("cpu")
    [seen] = plain.detect(plain.prepare([sample]), [sample.prompt], 0.1)
    assert len(seen) < len(boxes), "seen whole, the smaller ones are too small"


def test_an_object_larger_than_a_tile_is_found_in_the_whole_image_alone() -> None:
    sample = photo([[20, 20, 220, 200]], (230, 310))
    found = searched(Tiled(Squares(Squares.Params()), tiles(whole=True)), sample)
    assert found.boxes.tolist() == [[20, 20, 220, 200]]
    assert len(searched(Tiled(Squares(Squares.Params()), tiles()), sample)) > 1, "in parts, where nothing sees it whole"


def test_masks_are_of_the_whole_image() -> None:
    boxes = [[10, 10, 20, 20], [150, 120, 165, 135]]
    found = searched(Tiled(MaskedSquares(Squares.Params()), tiles()), photo(boxes, (230, 310)))
    for box, mask in zip(found.boxes.astype(int).tolist(), found.masks or (), strict=True):
        assert mask is not None
        assert mask.size == (230, 310)
        assert list(mask.bounds()) == box


def test_no_more_tiles_than_asked_for_are_looked_at_together() -> None:
    squares = Squares(Squares.Params())
    searched(Tiled(squares, tiles(batch=3, whole=True)), photo([], (230, 310)))
    assert squares.largest == 3


def test_contract(example_path: str) -> None:
    from autolabel_colors import Colors

    class TiledColors(Tiled):
        """An example labeler in tiles of 40 pixels."""

        Params = Colors.Params

        def __init__(self, params: Any) -> None:
            super().__init__(Colors(params), Tiles(size=40, overlap=0.5, whole=True, batch=2))
            self.params = params

    globals()["TiledColors"] = TiledColors
    TiledColors.__qualname__ = "TiledColors"
    check_detector(TiledColors, {})
