"""Computing only what a mask shows gives the mask that stretching whole maps and frames gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autolabel.types import Rle, Size
from autolabel_mal.crop import Region, box_profiles, clip, region
from autolabel_mal.paste import masks, window

SIDE = 64


def stretch(maps: Tensor, size: Size) -> Tensor:
    return functional.interpolate(maps[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def from_frames(logits: Tensor, at: Region, size: Size, threshold: float) -> Rle:
    """Return the mask as MAL makes it: crop, box mask, region, and a frame as large as the image."""
    rows, columns = box_profiles(at, SIDE)
    soft = stretch(logits, (SIDE, SIDE)).sigmoid() * torch.from_numpy(np.outer(rows, columns))
    inside = stretch(soft, (at.height, at.width)).numpy() > threshold
    frame = np.zeros((size[0] + 400, size[1] + 400), bool)
    frame[200 + at.top : 200 + at.top + at.height, 200 + at.left : 200 + at.left + at.width] = inside
    return Rle.encode(frame[200:-200, 200:-200])


def quick(logits: Tensor, at: Region, size: Size, threshold: float) -> Rle:
    place = window(at, size, side=SIDE, grid=logits.shape[-1])
    return place.encode(masks(logits[None], [place], [threshold])[0].flatten().numpy())


@pytest.mark.parametrize("grid", [16, 64, 96])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5])
def test_masks_are_those_of_whole_frames(grid: int, threshold: float) -> None:
    draw, found = np.random.default_rng(grid), 0
    generator = torch.Generator().manual_seed(grid)
    for _ in range(150):
        size = (int(draw.integers(1, 200)), int(draw.integers(1, 200)))
        corners = np.sort(draw.uniform(-20, 220, (2, 2)), axis=0).astype(np.float32)
        box = clip(corners.reshape(4), size)
        if box is None:
            continue
        at, logits = region(box, size, (0.6, 0.6)), torch.randn(grid, grid, generator=generator)
        mask = quick(logits, at, size, threshold)
        assert mask == from_frames(logits, at, size, threshold)
        found += mask.area() > 0
    assert found > 50


def test_masks_of_a_batch_are_those_of_each_alone() -> None:
    size, logits = (90, 120), torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    boxes = np.array([(3, 4, 30, 60), (50, 10, 119, 88), (0, 0, 120, 90)], np.float32)
    regions = [region(box, size, (0.6, 0.6)) for box in boxes]
    windows = [window(at, size, side=SIDE, grid=16) for at in regions]
    together = masks(logits, windows, [0.2, 0.4, 0.6])
    for number, threshold in enumerate((0.2, 0.4, 0.6)):
        found = windows[number].encode(together[number].flatten().numpy())
        assert found == quick(logits[number], regions[number], size, threshold)
        assert found.area() > 0
