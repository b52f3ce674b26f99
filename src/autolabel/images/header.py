"""Read the header of an image: its upright size, its orientation, its number of pages."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from PIL import Image as Pillow

from autolabel.errors import MachineError
from autolabel.types import Size

_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0x0100, 0x0101
_PNG_HEAD = 8
"""Bytes before a PNG's first chunk."""
_PNG_TEXTS = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})
"""Chunks that may hold an orientation."""
_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The properties of an image that need no decoding."""

    size: Size
    """(height, width) of the upright image."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""
    pages: int = 1
    """Pages of a TIFF, frames of an animation, pictures of an MPO."""

    @property
    def stored(self) -> Size:
        """The stored (height, width), before orientation."""
        return self.size[::-1] if self.orientation in _SIDEWAYS else self.size


def header_of(image: Pillow.Image) -> Header:
    """Return the header of an opened image; some versions of Pillow already swap a TIFF's size."""
    turned = orientation(image) or 1
    width, height = _stored_size(image)
    return Header(size=size_of_page((height, width), turned), orientation=turned, pages=_pages_of(image))


def size_of_page(stored: Size, turned: int) -> Size:
    """Return the upright (height, width) of pixels that are stored as (height, width)."""
    return stored[::-1] if turned in _SIDEWAYS else stored


def _stored_size(image: Pillow.Image) -> tuple[int, int]:
    """Return width and height as the pixels are stored."""
    tags = getattr(image, "tag_v2", None) if image.format == "TIFF" else None
    if tags is not None and isinstance(tags.get(_WIDTH), int) and isinstance(tags.get(_HEIGHT), int):
        return tags[_WIDTH], tags[_HEIGHT]
    return image.size


def orientation(image: Pillow.Image) -> int | None:
    """Return the EXIF orientation (1 to 8), or None if there is none or it cannot be read."""
    try:
        exif = Pillow.Image.getexif(image) if _is_plain_png(image) else image.getexif()
        value: Any = exif.get(_ORIENTATION)
    except MachineError:
        raise
    except Exception:
        return None
    return value if isinstance(value, int) and 1 <= value <= 8 else None


def _pages_of(image: Pillow.Image) -> int:
    """Return how many pages a file has; 1 if that cannot be read."""
    with suppress(Exception):
        return max(1, int(getattr(image, "n_frames", 1)))
    return 1


def page_name(name: str, page: int) -> str:
    """Return the name of a page: the file's name for the first one, with the page number for others."""
    return name if page == 1 else f"{name}#page={page}"


def _is_plain_png(image: Pillow.Image) -> bool:
    """Return whether a PNG has no chunks after its pixels, which Pillow would decode to check."""
    stream: Any = getattr(image, "fp", None) if image.format == "PNG" else None
    if stream is None:
        return False
    place, plain, pixels = stream.tell(), True, False
    stream.seek(_PNG_HEAD)
    while plain and len(head := stream.read(8)) == 8:
        pixels |= head[4:] == b"IDAT"
        plain = head[4:] != b"acTL" and not (pixels and head[4:] in _PNG_TEXTS)
        stream.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    stream.seek(place)
    return plain
