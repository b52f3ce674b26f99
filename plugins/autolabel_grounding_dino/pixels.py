"""Resize images as the originals do, to the shapes that a plan batches by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from autolabel.errors import WeightsError
from autolabel.types import Size

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SHORT_SIDE, LONG_SIDE = 800, 1333
RATIOS = (1.0, 1.2, 4 / 3, 1.5)
"""Long over short side of the buckets that are as tall as the short side; beyond them the long side is full."""
PARTS = (1.0, 0.75, 0.5, 0.25)
"""Heights of the buckets whose long side is full, as parts of the short side."""

Padding = Literal["none", "bucket", "fixed"]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """How pixels reach the network: resized, padded on the right and at the bottom, normalised."""

    short_side: int = SHORT_SIDE
    long_side: int = LONG_SIDE
    exact: Size | None = None
    """(height, width) that every image is squashed to, where the checkpoint was trained so."""
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    padding: Padding = "none"

    def resized(self, size: Size) -> Size:
        """Return (height, width) after resizing (the rule of DETR and of both originals; never below 1 pixel)."""
        return self.exact or resized(size, short=self.short_side, long=self.long_side)

    def canvas(self, size: Size) -> Size:
        """Return the padded (height, width) of an image of ``size``: what may share a batch."""
        inner = self.resized(size)
        if self.exact or self.padding == "none":
            return inner
        shapes = [(self.short_side, self.long_side)] if self.padding == "fixed" else self._buckets()
        if inner[0] > inner[1]:
            shapes = [(width, height) for height, width in shapes]
        fitting = [shape for shape in shapes if shape[0] >= inner[0] and shape[1] >= inner[1]]
        if not fitting:  # rounding can exceed the long side by a pixel: nothing is cut off
            return max(inner[0], shapes[-1][0]), max(inner[1], shapes[-1][1])
        return min(fitting, key=lambda shape: shape[0] * shape[1])

    def _buckets(self) -> list[Size]:
        short, long = self.short_side, self.long_side
        tall = [(short, round(short * ratio)) for ratio in RATIOS if short * ratio < long]
        return tall + [(max(1, round(short * part)), long) for part in reversed(PARTS)]


def resized(size: Size, *, short: int, long: int) -> Size:
    """Return (height, width) with the shorter side ``short`` long, unless the longer one would exceed ``long``.

    As in IDEA-Research's and TAO's transforms, rounding included: the longer side may come out a pixel or two off.
    """
    height, width = size
    small, large = min(size), max(size)
    if large / small * short > long:
        short = max(1, round(long * small / large))
    if small == short:
        return size
    if width < height:
        return max(1, int(short * height / width)), short
    return short, max(1, int(short * width / height))


def resize(pixels: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Return (height, width, 3) uint8 of ``size``, bilinear with antialiasing, as Pillow does it."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def read_shaping(checkpoint: Path, default: Shaping = Shaping()) -> Shaping:
    """Return how a Hugging Face folder's processor shapes pixels; ``default`` counts where it says nothing."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        file = checkpoint / name
        if checkpoint.is_dir() and file.is_file():
            try:
                content = json.loads(file.read_text("utf-8"))
                return _shaping(content.get("image_processor") or content, default)
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                raise WeightsError(f"{file}: not an image processor's configuration: {error}") from error
    return default


def _shaping(content: dict[str, Any], default: Shaping) -> Shaping:
    size = content.get("size") or {}
    if isinstance(size, int):
        size = {"height": size, "width": size}
    told = "shortest_edge" in size or "longest_edge" in size
    exact = (int(size["height"]), int(size["width"])) if "height" in size and "width" in size else None
    mean, std = _triple(content.get("image_mean") or default.mean), _triple(content.get("image_std") or default.std)
    if not content.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    # Means may refer to 0..255: what counts is (pixel * factor - mean) / std.
    factor = 255 * float(content.get("rescale_factor") or 1 / 255) if content.get("do_rescale", True) else 255
    return replace(
        default,
        short_side=int(size.get("shortest_edge") or default.short_side),
        long_side=int(size.get("longest_edge") or default.long_side),
        exact=exact or (None if told else default.exact),
        mean=_triple([value / factor for value in mean]),
        std=_triple([value / factor for value in std]),
    )


def _triple(values: Sequence[float]) -> Triple:
    red, green, blue = map(float, values)
    return red, green, blue
