"""Resize images as the original implementations do, to the shapes that define batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from autolabel.errors import WeightsError
from autolabel.types import Size
from autolabel.weights import read_mapping

if TYPE_CHECKING:
    import numpy.typing as npt

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SHORT_SIDE, _LONG_SIDE = 800, 1333
_OLD_LONG_SIDE = 1333
"""The ``max_size`` of transformers' processors for a ``size`` of one number."""
_LONGEST_SIDE = 16_384
_BILINEAR = int(Image.Resampling.BILINEAR)
_RATIOS = (1.0, 1.2, 4 / 3, 1.5)
"""Long over short side of the buckets that are as tall as the short side; beyond them the long side is full."""
_PARTS = (1.0, 0.75, 0.5, 0.25)
"""Heights of the buckets whose long side is full, as parts of the short side."""

_Padding = Literal["none", "bucket", "fixed"]
_Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """The preprocessing of pixels: resized, padded on the right and at the bottom, normalised."""

    short_side: int = _SHORT_SIDE
    long_side: int = _LONG_SIDE
    exact: Size | None = None
    """(height, width) that every image is squashed to, where the checkpoint was trained so."""
    mean: _Triple = IMAGENET_MEAN
    std: _Triple = IMAGENET_STD
    padding: _Padding = "none"

    def resized(self, size: Size) -> Size:
        """Return (height, width) after resizing by DETR's rule; at least 1 pixel."""
        return self.exact or resized(size, short=self.short_side, long=self.long_side)

    def canvas(self, size: Size) -> Size:
        """Return the padded (height, width) of an image of ``size``; images with equal values may share a batch."""
        inner = self.resized(size)
        if self.exact or self.padding == "none":
            return inner
        shapes = [(self.short_side, self.long_side)] if self.padding == "fixed" else self._buckets()
        if inner[0] > inner[1]:
            shapes = [(width, height) for height, width in shapes]
        fitting = [shape for shape in shapes if shape[0] >= inner[0] and shape[1] >= inner[1]]
        if not fitting:  # rounding can exceed the long side by a pixel; the canvas grows with it
            return max(inner[0], shapes[-1][0]), max(inner[1], shapes[-1][1])
        return min(fitting, key=lambda shape: shape[0] * shape[1])

    def _buckets(self) -> list[Size]:
        short, long = self.short_side, self.long_side
        tall = [(short, round(short * ratio)) for ratio in _RATIOS if short * ratio < long]
        return tall + [(max(1, round(short * part)), long) for part in reversed(_PARTS)]


def resized(size: Size, *, short: int, long: int) -> Size:
    """Return (height, width) with the shorter side ``short`` long, unless the longer one would exceed ``long``.

    Rounds like IDEA-Research's and TAO's transforms, so the longer side may be off by a pixel or two.
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


def resize_pixels(pixels: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Resize to (height, width, 3) uint8 of ``size``, bilinear with antialiasing, like Pillow."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def read_shaping(checkpoint: Path, default: Shaping = Shaping(), *, square: bool = False) -> Shaping:
    """Return the pixel settings of a Hugging Face folder's processor; ``default`` fills settings that it lacks.

    Follows transformers: the image settings of ``processor_config.json``, otherwise ``preprocessor_config.json``. A
    single number is the side of a square if the model's processor reads it so (``square``), otherwise the shorter side.
    A file, or a folder without config.json, has no processor: ``default`` applies. Raises WeightsError if a folder
    lacks its processor, or if its size is not valid.
    """
    if not checkpoint.is_dir() or (found := _processor(checkpoint)) is None:
        return default
    file, content = found
    try:
        return _shaping(content, default, square=square)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise WeightsError(f"{file}: not an image processor's configuration: {error}") from error


def _processor(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the settings of a folder's image processor and their file; None if the folder has no processor."""
    both, images = folder / "processor_config.json", folder / "preprocessor_config.json"
    said = read_mapping(both) if both.is_file() else {}
    if isinstance(said.get("image_processor"), dict):
        return both, said["image_processor"]
    if images.is_file():
        content = read_mapping(images)
        return images, content.get("image_processor") or content
    if _is_for_images(said):
        return both, said
    if not (folder / "config.json").is_file():
        return None
    raise WeightsError(
        f"{folder}: has neither preprocessor_config.json nor a processor_config.json for images, so the input size of"
        " the network is unknown",
        hint="copy the file from where the model came from",
    )


def _is_for_images(content: dict[str, Any]) -> bool:
    return any(name in content for name in ("size", "image_mean", "do_resize", "image_processor_type"))


def _shaping(content: dict[str, Any], default: Shaping, *, square: bool) -> Shaping:
    size = _size(content.get("size"), content.get("max_size"), square=square)
    if content.get("do_resize") is False or content.get("resample") not in (None, _BILINEAR):
        raise ValueError("only resizing with resample 2 (bilinear) is supported")
    keeps_aspect = "shortest_edge" in size or "longest_edge" in size
    exact = (_side(size["height"]), _side(size["width"])) if "height" in size and "width" in size else None
    mean, std = _triple(content.get("image_mean") or default.mean), _triple(content.get("image_std") or default.std)
    if not content.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    # Means may refer to 0..255; the formula is (pixel * factor - mean) / std.
    factor = 255 * float(content.get("rescale_factor") or 1 / 255) if content.get("do_rescale", True) else 255
    mean, std = _triple([value / factor for value in mean]), _triple([value / factor for value in std])
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise ValueError(f"image_mean {mean} and image_std {std}")
    return replace(
        default,
        short_side=_side(size.get("shortest_edge") or default.short_side),
        long_side=_side(size.get("longest_edge") or default.long_side),
        exact=exact or (None if keeps_aspect else default.exact),
        mean=mean,
        std=std,
    )


def _size(size: Any, longest: Any, *, square: bool) -> dict[str, Any]:
    """Return a size as named sides, reading transformers' older forms: one number, or (height, width)."""
    if size is None or isinstance(size, dict):
        size = {key: side for key, side in (size or {}).items() if side is not None}
        if unknown := set(size) - {"height", "width", "shortest_edge", "longest_edge"}:
            raise ValueError(f"the size says {', '.join(sorted(unknown))}, which is not supported")
        return dict(size)
    if isinstance(size, list):
        height, width = size
        return {"height": height, "width": width}
    if square:
        return {"height": size, "width": size}
    return {"shortest_edge": size, "longest_edge": _OLD_LONG_SIDE if longest is None else longest}


def _side(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or not 1 <= value <= _LONGEST_SIDE:
        raise ValueError(f"a side of {value!r} pixels")
    return int(value)


def _triple(values: Sequence[float]) -> _Triple:
    red, green, blue = map(float, values)
    return red, green, blue


@dataclass(frozen=True, slots=True, eq=False)
class ResizedImage:
    """Pixels resized for the network, with the original size that boxes refer to."""

    pixels: npt.NDArray[np.uint8]
    """(height, width, 3) uint8, resized, not padded."""
    size: Size
    """(height, width) of the upright image."""
