"""Read one image from a caller: a path, file bytes, a PIL image or pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from autolabel.errors import DataError, ImageError
from autolabel.images import (
    ValueRange,
    convert_pixels,
    decode_pixels,
    decode_size,
    image_digest,
    read_pixels,
    read_size,
)
from autolabel.types import Image, Labels, Reason, Size

_Pixels = npt.NDArray[np.uint8]
Given: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Pillow.Image | npt.NDArray[np.uint8]
"""A path or URL, the bytes of an image file, a PIL image, or (H, W, 3) uint8 RGB pixels of the upright image."""
_UNNAMED = "image"
"""The name of an image without a path."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """An image that was read, or the error."""

    image: Image
    pixels: _Pixels | None
    reason: Reason | None = None
    content: str = ""
    """Hash of the file's bytes, under which candidates are kept; empty if it is not wanted, or there is no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReader:
    """Reads images as a run does."""

    max_pixels: int
    value_range: ValueRange
    roots: Mapping[str, str]
    """The run's folders of images by the prefix of their ids."""
    hashes: bool
    """Whether the hash of a file's bytes is wanted."""

    def read(self, given: Given, *, name: str | None = None) -> Photo:
        """Read an image; if that fails, the result has the reason.

        Raises TypeError if ``given`` is not an image, DataError for an array of another shape or type.
        """
        path = os.fspath(given) if isinstance(given, str | os.PathLike) else ""
        called = name or (self.identify(path) if path else _UNNAMED)
        try:
            pixels, content = self._pixels(given, called)
        except ImageError as error:
            reason = Reason(code=error.code, message=error.message)
            return Photo(Image(id=called, path=path, size=self._size(given)), None, reason)
        height, width = pixels.shape[:2]
        return Photo(Image(id=called, path=path, size=(height, width)), pixels, content=content)

    def _pixels(self, given: Given, name: str) -> tuple[_Pixels, str]:
        if isinstance(given, str | os.PathLike):
            pixels = read_pixels(os.fspath(given), max_pixels=self.max_pixels, value_range=self.value_range)
            return pixels, image_digest(os.fspath(given)) if self.hashes else ""
        if isinstance(given, bytes | bytearray | memoryview):
            data = bytes(given)
            pixels = decode_pixels(data, name=name, max_pixels=self.max_pixels, value_range=self.value_range)
            return pixels, hashlib.sha256(data).hexdigest() if self.hashes else ""
        if isinstance(given, Pillow.Image):
            found = convert_pixels(given, name=name, max_pixels=self.max_pixels, value_range=self.value_range)
            return found, ""
        if isinstance(given, np.ndarray):
            return _checked(given, name, self.max_pixels), ""
        raise TypeError(
            f"wanted a path, the bytes of an image file, a PIL image or pixels, found {type(given).__name__}"
        )

    def _size(self, given: Given) -> Size:
        """Return (height, width) of an undecodable image from its header; (0, 0) if unreadable."""
        with suppress(ImageError):
            if isinstance(given, str | os.PathLike):
                return read_size(os.fspath(given), max_pixels=self.max_pixels)
            if isinstance(given, bytes | bytearray | memoryview):
                return decode_size(bytes(given), max_pixels=self.max_pixels)
        return 0, 0

    def identify(self, path: str) -> str:
        """Return the run's id of an image at ``path``, or the file's name outside the run's folders."""
        absolute = path if "://" in path else os.path.abspath(path)  # noqa: PTH100 - links stay as they are
        for prefix, root in self.roots.items():
            below = f"{root.rstrip('/')}/"
            if absolute.startswith(below):
                relative = absolute.removeprefix(below)
                return f"{prefix}/{relative}" if prefix else relative
        return Path(absolute).name


def _checked(pixels: npt.NDArray[np.uint8], name: str, max_pixels: int) -> _Pixels:
    """Return a contiguous copy of a caller's pixels."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        hint = "convert them, or give a PIL image, the bytes of a file, or a path"
        found = f"{pixels.shape} {pixels.dtype}"
        raise DataError(f"{name}: wanted pixels of (H, W, 3) uint8 in RGB order, found {found}", hint=hint)
    height, width = pixels.shape[:2]
    if not height * width or height * width > max_pixels:
        raise ImageError("too_large", f"{name}: {width}x{height} pixels, at most {max_pixels} are read")
    return np.array(pixels, order="C")


@dataclass(frozen=True, slots=True, eq=False)
class PhotosAtHand:
    """Images in memory, in the order of the rows."""

    photos: Sequence[Photo]

    def pixels(self, position: int, row: Labels) -> _Pixels:
        """Return the pixels of a row's image."""
        pixels = self.photos[position].pixels
        assert pixels is not None, "a row without pixels has failed, and is not asked for"
        return pixels

    def content(self, position: int, row: Labels) -> str:
        """Return the hash of its file."""
        return self.photos[position].content
