"""Decode one image file upright, within limits, to RGB."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from autolabel.errors import ImageError, MachineError
from autolabel.storage import PAUSES, TRANSIENT, Remote, at
from autolabel.types import Size

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"})
MAX_PIXELS = 100_000_000
ORIENTATION = 0x0112
PNG_HEAD = 8
"""Bytes before a PNG's first chunk."""
PNG_TEXTS = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})
"""Chunks that may hold an orientation."""
PNG_END = b"IEND\xaeB`\x82"
TAIL = 4096
SIDEWAYS = frozenset({5, 6, 7, 8})

T = TypeVar("T")
Source = str | BinaryIO
"""What Pillow opens: the path of a local file, or the bytes of a remote one."""

Pillow.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header, before anything is decoded


def read_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Return (height, width) of the upright image, from the header alone.

    Raises ImageError with one of the codes ``missing``, ``unreadable``, ``unsupported_format``, ``too_large``,
    ``corrupt_image`` and ``io_error``: the disk or file server failed five times in a row.
    """
    return patiently(partial(size_of, path, max_pixels), path)


def size_of(path: str | Path, max_pixels: int) -> Size:
    """Read a size, once."""
    with open_checked(path, partial(from_start, path), max_pixels)[0] as image:
        width, height = image.size
        return (width, height) if orientation(image) in SIDEWAYS else (height, width)


def read_pixels(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """Decode the first frame to (H, W, 3) uint8 RGB with its EXIF orientation applied.

    16-bit grey is scaled by 1/257, transparency laid over white. Raises ImageError as ``read_size`` does.
    """
    return patiently(partial(pixels_of, path, max_pixels), path)


def content_hash(path: str | Path) -> str:
    """Return the SHA-256 of an image file's bytes, in hex; decodes nothing.

    Raises ImageError ``unreadable`` where there is no file to read, or ``io_error``.
    """
    return patiently(partial(hash_of, path), path)


def hash_of(path: str | Path) -> str:
    """Hash a file, once; OSError passes through where it is one that may pass."""
    try:
        source = whole(path)
        if not isinstance(source, str):
            return hashlib.sha256(source.read()).hexdigest()
        with Path(source).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        if error.errno in TRANSIENT:
            raise
        raise ImageError("unreadable", f"{Path(path).name}: {error.strerror}") from error


def patiently(read: Callable[[], T], path: str | Path) -> T:
    """Return what ``read`` returns, trying again after errors that may pass."""
    for pause in (*PAUSES, None):
        try:
            return read()
        except MachineError as error:  # a store has been asked often enough
            raise ImageError("io_error", error.message) from error
        except OSError as error:
            if pause is None:
                raise ImageError("io_error", f"{Path(path).name}: {error.strerror}, {len(PAUSES) + 1} times") from error
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def pixels_of(path: str | Path, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode, once; OSError passes through where it is one that may pass."""
    image, source = open_checked(path, partial(whole, path), max_pixels)
    with image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.load()
            if image.format == "PNG":
                check_end(source)
            upright = ImageOps.exif_transpose(image) if orientation(image) not in (None, 1) else image
            return to_rgb(upright)
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in TRANSIENT:
                raise
            raise ImageError("corrupt_image", f"{Path(path).name}: cannot be decoded: {error}") from error


def from_start(path: str | Path) -> Source:
    """Return what reads a file from its start, no further than it is read."""
    place = at(path)
    return place.open() if isinstance(place, Remote) else local(place)


def whole(path: str | Path) -> Source:
    """Return what reads a file as a whole: one request for a remote one."""
    place = at(path)
    return io.BytesIO(place.read_bytes()) if isinstance(place, Remote) else local(place)


def local(path: Path) -> str:
    """Return the path of a file; raises ImageError where it is something else: a pipe would be waited for."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ImageError("unreadable", f"{path.name}: not a file")
    return str(path)


def open_checked(path: str | Path, find: Callable[[], Source], max_pixels: int) -> tuple[Pillow.Image, Source]:
    """Open what ``find`` returns, of an allowed format and with a header within the pixel limit; decodes nothing."""
    name = Path(path).name
    try:
        source = find()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Pillow.open(source, formats=FORMATS)
    except (ImageError, MachineError):
        raise
    except FileNotFoundError:
        raise ImageError("missing", f"{name}: no such file") from None
    except UnidentifiedImageError:
        formats = ", ".join(FORMATS)
        raise ImageError("unsupported_format", f"{name}: not an image of a supported format ({formats})") from None
    except OSError as error:
        if error.errno in TRANSIENT:
            raise
        code = "corrupt_image" if error.errno is None else "unreadable"  # Pillow's own have no number
        raise ImageError(code, f"{name}: {error.strerror or error}") from error
    except Exception as error:
        raise ImageError("corrupt_image", f"{name}: {error}") from error
    width, height = image.size
    if width * height > max_pixels or not width * height:
        image.close()
        raise ImageError("too_large", f"{name}: {width}x{height} pixels, at most {max_pixels} are read")
    return image, source


def check_end(source: Source) -> None:
    """Raise OSError where a PNG has no end: Pillow is content once it has all pixels."""
    with Path(source).open("rb") if isinstance(source, str) else source as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
        if PNG_END in stream.read():
            return
        stream.seek(0)
        if PNG_END not in stream.read():
            raise OSError("image file is truncated (its end is missing)")


def orientation(image: Pillow.Image) -> int | None:
    """Return the EXIF orientation (1 to 8), or None where there is none or it cannot be read."""
    try:
        told = Pillow.Image.getexif(image) if is_plain_png(image) else image.getexif()
        value: Any = told.get(ORIENTATION)
    except MachineError:
        raise
    except Exception:
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def is_plain_png(image: Pillow.Image) -> bool:
    """Return whether an image is a PNG that says nothing after its pixels: Pillow would decode those to see."""
    stream: Any = getattr(image, "fp", None) if image.format == "PNG" else None
    if stream is None:
        return False
    place, plain, pixels = stream.tell(), True, False
    stream.seek(PNG_HEAD)
    while plain and len(head := stream.read(8)) == 8:
        pixels |= head[4:] == b"IDAT"
        plain = head[4:] != b"acTL" and not (pixels and head[4:] in PNG_TEXTS)
        stream.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    stream.seek(place)
    return plain


def to_rgb(image: Pillow.Image) -> npt.NDArray[np.uint8]:
    """Convert a decoded image of any mode to (H, W, 3) uint8."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        grey = np.asarray(image).astype(np.float64)
        scaled = np.clip(np.rint(grey / 257), 0, 255).astype(np.uint8)
        return np.repeat(scaled[:, :, None], 3, axis=2)
    if image.mode == "F":
        return np.repeat(np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"), np.uint8)
