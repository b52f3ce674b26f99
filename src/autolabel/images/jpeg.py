"""Decode usual JPEGs with simplejpeg where it is installed: the same pixels as Pillow's, without its copies."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import JpegImagePlugin

from autolabel.images.files import Source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image as Pillow


@cache
def _decoder() -> Callable[..., Any] | None:
    """Return simplejpeg's decoder; None without the extra `fast`."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    decode: Callable[..., Any] = decode_jpeg
    return decode


def quick_pixels(image: Pillow.Image, source: Source) -> npt.NDArray[np.uint8] | None:
    """Return (H, W, 3) RGB as stored in the file of an opened JPEG; None if Pillow has to decode it.

    Both use libjpeg-turbo, whose versions 2.1.5, 3.1 and 3.2 give the same bytes for baseline colour JPEGs of the usual
    samplings (4:4:4, 4:2:2, 4:2:0). Any doubt about the file, such as a warning about damaged data, leaves it to
    Pillow, which then decides.
    """
    decode = _decoder() if _usual(image) else None
    if decode is None:
        return None
    try:
        pixels = decode(_bytes(source), colorspace="RGB", strict=True)
    except ValueError:
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


def _usual(image: Pillow.Image) -> bool:
    told = image.info
    return (
        isinstance(image, JpegImagePlugin.JpegImageFile)
        and image.format == "JPEG"
        and image.mode == "RGB"
        and not (told.get("progressive") or told.get("progression"))
        and told.get("adobe_transform", 1) == 1
        and JpegImagePlugin.get_sampling(image) >= 0
    )


def _bytes(source: Source) -> bytes:
    if isinstance(source, str):
        return Path(source).read_bytes()
    source.seek(0)
    return source.read()
