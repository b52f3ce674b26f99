"""Read one image file upright and within limits: its header, or its pixels as 8-bit RGB."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from autolabel.errors import ImageError, MachineError
from autolabel.images import deep
from autolabel.images.decode_limit import check_scans, hurried
from autolabel.images.files import (
    MAX_PIXELS,
    Source,
    content_mark,
    from_start,
    name_of,
    retried,
    split_page,
    whole_file,
)
from autolabel.images.formats import FORMATS, HEIF, advice, heif_file, is_heif, is_tiff
from autolabel.images.header import Header, header_of, orientation
from autolabel.images.inside import check_inside
from autolabel.images.jpeg import quick_pixels
from autolabel.images.opener import open_image
from autolabel.images.values import ValueRange
from autolabel.storage import EXHAUSTED, TRANSIENT
from autolabel.types import Size

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["content_mark", "convert_pixels", "decode_pixels", "decode_size", "read_header", "read_pixels", "read_size"]

_PNG_END = b"IEND\xaeB`\x82"
_TAIL = 4096
_HEAD = 16


def read_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Return (height, width) of the upright image, from the header alone.

    Raises ImageError with one of the codes ``missing``, ``unreadable``, ``unsupported_format``, ``too_large``,
    ``corrupt_image``, ``outside_root`` and ``io_error``: the disk or file server failed five times in a row.
    """
    return read_header(path, max_pixels=max_pixels).size


def read_header(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Return the upright size, the orientation and the number of pages; raises ImageError as ``read_size`` does.

    ``path#page=2`` is the second page of a TIFF, the second frame of an animation.
    """
    check_inside(path)
    return retried(partial(_header, path, partial(from_start, split_page(path)[0]), max_pixels), path)


def decode_size(data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS) -> Size:
    """Return (height, width) of the upright image that the bytes of a file hold, as ``read_size`` does."""
    return _header(name, lambda: io.BytesIO(data), max_pixels).size


def read_pixels(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, value_range: ValueRange = None
) -> npt.NDArray[np.uint8]:
    """Decode a page to (H, W, 3) uint8 RGB with its EXIF orientation applied.

    Values of more than 8 bits are brought to 8 by ``value_range`` (see ``autolabel.images.values``), transparency is
    laid over white. Raises ImageError as ``read_size`` does, and ``too_slow`` where decoding takes more than a minute.
    """
    check_inside(path)
    return retried(partial(_pixels, path, partial(whole_file, split_page(path)[0]), max_pixels, value_range), path)


def decode_pixels(
    data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS, value_range: ValueRange = None
) -> npt.NDArray[np.uint8]:
    """Decode the bytes of an image file as ``read_pixels`` does; ``name``, with a page, is used in errors."""
    return _pixels(name, lambda: io.BytesIO(data), max_pixels, value_range)


def convert_pixels(
    image: Pillow.Image, *, name: str = "image", max_pixels: int = MAX_PIXELS, value_range: ValueRange = None
) -> npt.NDArray[np.uint8]:
    """Convert a Pillow image to the pixels that ``read_pixels`` returns for a file, without changing it.

    Its EXIF orientation is applied if present. Pillow itself drops the low bytes of 16-bit colours.
    """
    width, height = image.size
    if width * height > max_pixels or not width * height:
        raise ImageError("too_large", f"{name}: {width}x{height} pixels, at most {max_pixels} are read")
    with _told(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if image.mode in deep.MODES:
            return _upright(deep.to_bytes_of(image, value_range), orientation(image))
        return _to_rgb(_exif_undone(image))


def _header(path: str | Path, find: Callable[[], Source], max_pixels: int) -> Header:
    """Read the header of ``find``'s result without retries; a transient OSError passes through."""
    _, page = split_page(path)
    image, source = _open(path, find, max_pixels)
    with _told(name_of(path)):
        if image is None:
            return deep.header(source, max_pixels=max_pixels, page=page)
        with image:
            return header_of(image)


def _pixels(
    path: str | Path, find: Callable[[], Source], max_pixels: int, value_range: ValueRange
) -> npt.NDArray[np.uint8]:
    """Decode ``find``'s result without retries; a transient OSError passes through."""
    _, page = split_page(path)
    image, source = _open(path, find, max_pixels)
    with _told(name_of(path)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if image is None:
            return deep.pixels(source, max_pixels=max_pixels, page=page, value_range=value_range)
        with image:
            if deep.needs_own_decoding(image):
                try:
                    return deep.pixels(source, max_pixels=max_pixels, page=page, value_range=value_range)
                except ImageError:
                    pass  # a compression that only Pillow supports, with fewer bits
            if (quick := quick_pixels(image, source)) is not None:
                return _upright(quick, orientation(image))
            check_scans(image, source)
            return _decoded(image, source, value_range)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Convert any decoder error, except transient ones, to an ImageError that names the file."""
    try:
        yield
    except (MemoryError, MachineError):
        raise
    except ImageError as error:
        raise ImageError(error.code, f"{name}: {error.message}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in TRANSIENT | EXHAUSTED:
            raise
        raise ImageError("corrupt_image", f"{name}: cannot be decoded: {error}") from error


def _decoded(image: Pillow.Image, source: Source, value_range: ValueRange) -> npt.NDArray[np.uint8]:
    if image.format == "TIFF":
        held: Any = image
        held.filename = ""  # Pillow 13 rotates memory-mapped files wrongly
    low_bytes = deep.low_bytes_of(image, source)
    with hurried(image):
        image.load()
    if image.format == "PNG":
        _check_end(source)
    if low_bytes is not None and (both := deep.joined_bits(image, low_bytes)) is not None:
        return _upright(deep.over_white(both, value_range), orientation(image))
    if image.mode in deep.MODES:
        return _upright(deep.to_bytes_of(image, value_range), orientation(image))
    return _to_rgb(_exif_undone(image))


def _exif_undone(image: Pillow.Image) -> Pillow.Image:
    return ImageOps.exif_transpose(image) if orientation(image) not in (None, 1) else image


def _upright(pixels: npt.NDArray[np.uint8], turned: int | None) -> npt.NDArray[np.uint8]:
    return pixels if turned in (None, 1) else deep.turned(pixels, turned or 1)


def _to_rgb(image: Pillow.Image) -> npt.NDArray[np.uint8]:
    """Convert a decoded image of at most 8 bits to (H, W, 3) uint8."""
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)


def _open(path: str | Path, find: Callable[[], Source], max_pixels: int) -> tuple[Pillow.Image | None, Source]:
    """Open ``find``'s result, checking format and pixel limit by the header; decodes nothing.

    The image is None for a TIFF of floats, which Pillow does not read but ``deep`` does.
    """
    name = name_of(path)
    source: Source | None = None
    try:
        source = find()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _opened(source)
    except (ImageError, MachineError):
        raise
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except UnidentifiedImageError:
        head = _head(source)
        if source is not None and is_tiff(head):
            return None, source
        raise _unsupported(name, head) from None
    except OSError as error:
        if error.errno in TRANSIENT | EXHAUSTED:
            raise
        code = "corrupt_image" if error.errno is None else "unreadable"  # Pillow's own OSErrors have no errno
        raise ImageError(code, f"{name}: {error.strerror or error}") from error
    except Exception as error:
        raise ImageError("corrupt_image", f"{name}: {error}") from error
    _to_page(image, split_page(path)[1], name)
    width, height = image.size
    if width * height > max_pixels or not width * height:
        image.close()
        raise ImageError("too_large", f"{name}: {width}x{height} pixels, at most {max_pixels} are read")
    return image, source


def _opened(source: Source) -> Pillow.Image:
    try:
        return open_image(source, FORMATS)
    except UnidentifiedImageError:
        if HEIF and is_heif(_head(source)):
            heif: Pillow.Image = heif_file()(source)
            return heif
        raise


def _head(source: Source | None) -> bytes:
    if source is None:
        return b""
    if isinstance(source, str):
        with open(source, "rb") as stream:  # noqa: PTH123
            return stream.read(_HEAD)
    source.seek(0)
    head = source.read(_HEAD)
    source.seek(0)
    return head


def _unsupported(name: str, head: bytes) -> ImageError:
    formats = ", ".join(FORMATS)
    hint = f"; {advice('.heic')}" if is_heif(head) else ""
    return ImageError("unsupported_format", f"{name}: not an image of a supported format ({formats}){hint}")


def _to_page(image: Pillow.Image, page: int, name: str) -> None:
    if page == 1:
        return
    try:
        image.seek(page - 1)
    except Exception as error:
        image.close()
        raise ImageError("missing", f"{name}: the file has no page {page}") from error


def _check_end(source: Source) -> None:
    """Raise OSError if a PNG lacks its end chunk, which Pillow does not check."""
    stream: Any
    with open(source, "rb") if isinstance(source, str) else _kept_open(source) as stream:  # noqa: PTH123
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
        if _PNG_END in stream.read():
            return
        stream.seek(0)
        if _PNG_END not in stream.read():
            raise OSError("image file is truncated (its end is missing)")


def _kept_open(source: Any) -> Any:
    return io.BytesIO(source.getbuffer()) if isinstance(source, io.BytesIO) else source
