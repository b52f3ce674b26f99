"""Put resized images on the device as one normalised, padded batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autolabel.types import Size
from autolabel_grounding_dino.pixels import Shaping


def to_tensor(
    images: Sequence[npt.NDArray[np.uint8]], canvas: Size, shaping: Shaping, device: str
) -> tuple[Tensor, Tensor]:
    """Return pixels (B, 3, H, W), normalised, and where they are real, (B, H, W) bool, for ``canvas`` (H, W).

    Images (height, width, 3) uint8 lie at the top left; padding is 0 after normalising, as in the originals.
    """
    pixels = torch.zeros(len(images), 3, *canvas, device=device)
    valid = torch.zeros(len(images), *canvas, dtype=torch.bool, device=device)
    mean = torch.tensor(shaping.mean, device=device)[:, None, None]
    std = torch.tensor(shaping.std, device=device)[:, None, None]
    for row, image in enumerate(images):
        height, width = image.shape[:2]
        colours = _moved(torch.from_numpy(np.array(image)), device).permute(2, 0, 1)
        pixels[row, :, :height, :width] = (colours.float() / 255 - mean) / std
        valid[row, :height, :width] = True
    return pixels, valid


def _moved(tensor: Tensor, device: str) -> Tensor:
    """Return a tensor on the device; a GPU copies it from pinned memory while it computes."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)
