"""From logits of a crop to the mask of the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.types import Rle, Size
from autolabel_mal.crop import Region, box_profiles
from autolabel_mal.heads import stretch


def probabilities(logits: Tensor, regions: Sequence[Region], side: int) -> Tensor:
    """Return (B, side, side) probabilities, zero outside each box, of logits (B, h, w)."""
    soft = stretch(logits, (side, side)).sigmoid_()
    profiles = [box_profiles(at, side) for at in regions]
    rows = torch.from_numpy(np.stack([profile[0] for profile in profiles])).to(soft.device)
    columns = torch.from_numpy(np.stack([profile[1] for profile in profiles])).to(soft.device)
    return soft.mul_(rows[:, :, None]).mul_(columns[:, None, :])


def cut_mask(soft: Tensor, at: Region, size: Size, threshold: float) -> Tensor:
    """Return the boolean mask (h, w) of the part of ``at`` inside an image of ``size``, from (side, side) values."""
    window = inside(at, size)
    return stretch(soft[None], (at.height, at.width))[0][window] > threshold


def inside(at: Region, size: Size) -> tuple[slice, slice]:
    """Return the rows and columns of a crop that lie in an image of ``size`` (height, width)."""
    rows = slice(max(0, -at.top), min(at.height, size[0] - at.top))
    return rows, slice(max(0, -at.left), min(at.width, size[1] - at.left))


def encode(mask: npt.NDArray[np.bool_], at: Region, size: Size) -> Rle:
    """Return what ``cut_mask`` gave as a mask of the whole image."""
    return Rle.from_crop(mask, left=max(0, at.left), top=max(0, at.top), size=size)
