"""Thumbnails as base64, within a size limit."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image as Pillow

from autolabel.errors import ImageError
from autolabel.images import ValueRange, read_pixels

_STEPS = ((720, 80), (640, 75), (512, 72), (400, 68), (320, 60), (240, 50), (160, 40))
"""(longer side, JPEG quality), from best to smallest."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG as base64; empty, with the reason, if the image cannot be shown."""

    jpeg: str
    problem: str = ""


def thumbnail(path: str, *, max_pixels: int, max_bytes: int, value_range: ValueRange = None) -> Thumbnail:
    """Return the image at ``path``, upright, at the best of STEPS whose base64 has at most ``max_bytes`` characters.

    If none fits, the smallest step is used. A missing (empty path) or unreadable image gives an empty thumbnail with
    the reason.
    """
    if not path:
        return Thumbnail("", "the path of this image is unknown")
    try:
        picture = Pillow.fromarray(read_pixels(path, max_pixels=max_pixels, value_range=value_range))
    except ImageError as error:
        return Thumbnail("", error.message)
    text, size = "", 0.0
    for side, quality in _STEPS:
        if text and _expected(text, side=side, quality=quality, size=size) > max_bytes and side != _STEPS[-1][0]:
            continue
        picture.thumbnail((side, side), Pillow.Resampling.LANCZOS)
        text, size = _data_uri(picture, quality), max(picture.size) ** 2 * quality
        if len(text) <= max_bytes:
            break
    return Thumbnail(text)


def _expected(text: str, *, side: int, quality: int, size: float) -> float:
    """Estimate the base64 length from that of another size, as a lower bound."""
    return 0.6 * len(text) * side**2 * quality / size


def _data_uri(picture: Pillow.Image, quality: int) -> str:
    """Return a picture as base64 JPEG, without metadata."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return base64.b64encode(stream.getvalue()).decode()
