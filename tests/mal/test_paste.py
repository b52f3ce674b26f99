"""Computing only what a mask shows gives the mask that stretching whole maps and frames gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autolabel.types import Rle, Size
from autolabel_labeling.given_boxes import clip_box
from autolabel_mal import compiled, paste
from autolabel_mal.crop import CropRegion, _profile, box_profiles, region
from autolabel_mal.ensemble import fastest_encode

SIDE = 64


def stretch(maps: Tensor, size: Size) -> Tensor:
    return functional.interpolate(maps[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def from_frames(logits: Tensor, at: CropRegion, size: Size, threshold: float) -> Rle:
    """Return the mask as MAL makes it: crop, box mask, region, and a frame as large as the image."""
    rows, columns = box_profiles(at, SIDE)
    soft = stretch(logits, (SIDE, SIDE)).sigmoid() * torch.from_numpy(np.outer(rows, columns))
    inside = stretch(soft, (at.height, at.width)).numpy() > threshold
    frame = np.zeros((size[0] + 400, size[1] + 400), bool)
    frame[200 + at.top : 200 + at.top + at.height, 200 + at.left : 200 + at.left + at.width] = inside
    return Rle.encode(frame[200:-200, 200:-200])


KINDS = [paste.encode_mask, compiled.encode_mask_compiled]


@pytest.mark.parametrize("encode", KINDS)
@pytest.mark.parametrize("grid", [16, 64, 96])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_masks_are_those_of_whole_frames(encode: Callable[..., Rle], grid: int, threshold: float) -> None:
    draw, generator = np.random.default_rng(grid), torch.Generator().manual_seed(grid)
    found, apart = 0, 0
    for _ in range(150):
        size = (int(draw.integers(1, 200)), int(draw.integers(1, 200)))
        corners = np.sort(draw.uniform(-20, 220, (2, 2)), axis=0).astype(np.float32)
        box = clip_box(corners.reshape(4), size)
        if box is None:
            continue
        at, logits = region(box, size, (0.6, 0.6)), 3 * torch.randn(grid, grid, generator=generator)
        mask = encode(logits.numpy(), at, size, side=SIDE, threshold=threshold)
        wanted = from_frames(logits, at, size, threshold)
        apart += mask != wanted
        assert (mask.decode() ^ wanted.decode()).sum() <= 1  # a pixel may lie within rounding of the threshold
        found += mask.area() > 0
    assert apart <= 1
    assert found > 50 or threshold == 1


@pytest.mark.parametrize("encode", KINDS)
def test_a_mask_over_the_whole_image_and_none_at_all(encode: Callable[..., Rle]) -> None:
    size, box = (30, 40), np.array([0, 0, 40, 30], np.float32)
    at = region(box, size, (0.6, 0.6))
    full, empty = (
        encode(np.full((16, 16), logit, np.float32), at, size, side=SIDE, threshold=0.5) for logit in (500, -500)
    )
    assert full == Rle.encode(np.ones(size, bool))
    assert empty == Rle.encode(np.zeros(size, bool))


@pytest.mark.parametrize("side", [32, 96, 512])
def test_the_lit_places_are_those_that_pillow_lights(side: int) -> None:
    draw, partial = np.random.default_rng(side), 0
    for _ in range(1000):
        length = int(np.exp(draw.uniform(0, 7.5))) + 1
        first, last = sorted(draw.choice(length + 1, 2, replace=False).tolist())
        profile = _profile((first, last), length, side)
        begin, end = compiled.lit(first, last, length, side)
        assert profile.max() <= 1
        assert np.flatnonzero(profile).tolist() == list(range(begin, end))
        partial += 0 < end - begin < side
    assert partial > 500


def test_without_numba_numpy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastest_encode() is compiled.encode_mask_compiled
    monkeypatch.setattr("autolabel_mal.ensemble.find_spec", lambda name: None)
    assert fastest_encode.__wrapped__() is paste.encode_mask
