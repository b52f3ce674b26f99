"""Decode pixels of more than 8 bits, which Pillow truncates or does not read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autolabel.errors import ImageError
from autolabel.images.files import Source
from autolabel.images.header import Header, size_of_page
from autolabel.images.opener import open_image
from autolabel.images.values import Pixels, ValueRange, to_bytes

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image as Pillow

MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I", "F"})
"""Pillow's modes with one channel of more than 8 bits."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2
_BRIGHT = 63
"""A 16-bit image with a larger high byte uses more than 14 bits: its low bytes do not matter."""
_MAX_SAMPLES = 32
_MAX_VALUES = 1_000_000_000


def to_bytes_of(image: Pillow.Image, value_range: ValueRange) -> Pixels:
    """Return (H, W, 3) 8-bit pixels of a decoded image of one channel."""
    values, tags = np.asarray(image), getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    unsigned = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED
    if image.mode == "I" and tags.get(_BITS) == (32,) and unsigned:
        values = values.view(np.uint32)
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    return to_bytes(values, value_range, inverted=inverted)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return (H, W, 3) pixels with their orientation applied."""
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else pixels)


def low_bytes_of(image: Pillow.Image, source: Source) -> Any:
    """Return a 16-bit PNG with the low bytes of its colours, which Pillow drops, undecoded; None if there are none."""
    tile = getattr(image, "tile", None)
    if image.format != "PNG" or not tile or tile[0].args not in ("RGB;16B", "RGBA;16B"):
        return None
    if not isinstance(source, str):
        source.seek(0)
        source = _copied(source)
    low: Any = open_image(source, ("PNG",))
    low.tile = [one._replace(args=one.args.replace("16B", "16L")) for one in low.tile]
    return low


def _copied(source: Any) -> Any:
    copy = io.BytesIO(source.read())
    source.seek(0)
    return copy


def joined_bits(image: Pillow.Image, low: Any) -> npt.NDArray[np.uint16] | None:
    """Return (H, W, C) uint16 of a decoded 16-bit PNG; None if its high bytes suffice."""
    with low:
        high = np.asarray(image)
        if int(high[:, :, :3].max(initial=0)) > _BRIGHT:
            return None
        low.load()
        values: npt.NDArray[np.uint16] = high.astype(np.uint16) * 256 + np.asarray(low)
        return values


def over_white(values: npt.NDArray[np.uint16], value_range: ValueRange) -> Pixels:
    """Return (H, W, 3) 8-bit pixels of (H, W, 3 or 4) values, blended with white where transparent."""
    colours = to_bytes(values, value_range)
    if values.shape[2] == 3:
        return colours
    alpha = to_bytes(values[:, :, 3], None)[:, :, :1].astype(np.uint16)
    laid: Pixels = ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return laid


def needs_own_decoding(image: Pillow.Image) -> bool:
    """Return whether Pillow would truncate a TIFF's values to high bytes, or read signed bytes as unsigned."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits, kinds = tags.get(_BITS), tags.get(_SAMPLE_FORMAT, ())
    if not isinstance(bits, tuple):
        return False
    return (len(bits) > 1 and max(bits) > 8) or (bits[0] == 8 and _SIGNED in kinds)


def header(source: Source, *, max_pixels: int, page: int) -> Header:
    """Read the header of a TIFF that Pillow does not support."""
    with _file(source) as tiff:
        found, pages = _page(tiff, page), len(tiff.pages)
        stored, turned_by = _checked(found, max_pixels)
        return Header(size=size_of_page(stored, turned_by), orientation=turned_by, pages=pages)


def pixels(source: Source, *, max_pixels: int, page: int, value_range: ValueRange) -> Pixels:
    """Decode a page of a TIFF that Pillow does not support: 64-bit floats, several float channels."""
    with _file(source) as tiff:
        found = _page(tiff, page)
        _, turned_by = _checked(found, max_pixels)
        try:
            values = found.asarray()
        except ValueError as error:
            hint = "; pip install imagecodecs" if "imagecodecs" in str(error) else ""
            raise ImageError("unsupported_format", f"{error}{hint}") from error
    if found.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    if values.ndim not in (2, 3) or values.dtype.kind not in "buif":
        raise ImageError("unsupported_format", f"values of {values.dtype}, axes {found.axes}")
    inverted = int(found.photometric) == _WHITE_IS_ZERO
    values = values.astype(np.uint8) * 255 if values.dtype == bool else values
    return turned(to_bytes(values, value_range, inverted=inverted), turned_by)


def _file(source: Source) -> Any:
    from tifffile import TiffFile, TiffFileError

    try:
        return TiffFile(Path(source) if isinstance(source, str) else source)
    except TiffFileError as error:
        raise ImageError("unsupported_format", str(error)) from error


def _page(tiff: Any, page: int) -> Any:
    try:
        return tiff.pages[page - 1]
    except IndexError:
        raise ImageError("missing", "the file has no page {page}") from None


def _checked(page: Any, max_pixels: int) -> tuple[tuple[int, int], int]:
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if not height * width or height * width > max_pixels or page.imagedepth > 1:
        raise ImageError("too_large", f"{width}x{height} pixels, at most {max_pixels} are read")
    if samples > _MAX_SAMPLES or height * width * samples > _MAX_VALUES:
        raise ImageError("too_large", f"{samples} channels of {width}x{height} pixels")
    tag = page.tags.get("Orientation")
    value = 1 if tag is None else int(tag.value)
    return (height, width), value if 1 <= value <= 8 else 1
