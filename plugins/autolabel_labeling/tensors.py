"""Put resized images on the device as one normalised, padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.transfer import to_device
from autolabel.types import Size
from autolabel_labeling.pixels import Shaping


@dataclass(frozen=True, slots=True)
class PixelBatch:
    """B images on one canvas."""

    pixels: Tensor
    """(B, 3, H, W), normalised."""
    valid: Tensor
    """(B, H, W) bool: False at padding."""
    whole: bool
    """Whether nothing is padded: known without asking the device."""


def to_tensor(images: Sequence[npt.NDArray[np.uint8]], canvas: Size, shaping: Shaping, device: str) -> PixelBatch:
    """Return images (height, width, 3) uint8 on a ``canvas`` (H, W).

    Images are placed at the top left; padding is 0 after normalising, as in the original implementations.
    """
    pixels = torch.zeros(len(images), 3, *canvas, device=device)
    valid = torch.zeros(len(images), *canvas, dtype=torch.bool, device=device)
    mean, std = (to_device(torch.tensor(part)[:, None, None], device) for part in (shaping.mean, shaping.std))
    for row, image in enumerate(images):
        height, width = image.shape[:2]
        colours = to_device(torch.from_numpy(np.array(image)), device).permute(2, 0, 1)
        pixels[row, :, :height, :width] = (colours.float() / 255 - mean) / std
        valid[row, :height, :width] = True
    return PixelBatch(pixels, valid, whole=all(image.shape[:2] == canvas for image in images))
