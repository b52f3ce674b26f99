"""Pictures for the browser: the original file if browsers show it correctly, otherwise re-encoded."""

from __future__ import annotations

import io
import threading

from PIL import Image as Pillow

from autolabel.errors import ImageError
from autolabel.images import read_pixels, read_size
from autolabel.plan.model import Recipe
from autolabel.recently_used import RecentlyUsed
from autolabel.storage import Remote, at
from autolabel.types import Labels

_AS_THEY_ARE = {b"\xff\xd8\xff": "image/jpeg"}
"""Files that go to the browser unchanged, by their first bytes: it turns JPEG upright as the run did."""
_MOST_BYTES = 64_000_000
"""Larger files are decoded and sent smaller."""
_REMEMBERED = 64_000_000
"""Bytes of decoded pictures that are kept."""
LEAST_SIDE, MOST_SIDE = 32, 2048
_DECODERS = 2
_QUALITY = 92

_Picture = tuple[str, bytes]
"""A media type and the bytes."""


class Pictures:
    """Pictures of rows, full size or thumbnails, with limited concurrency and an LRU cache."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._kept: RecentlyUsed[_Picture] = RecentlyUsed(_REMEMBERED, size_of=lambda picture: len(picture[1]))
        self._decoding = threading.BoundedSemaphore(_DECODERS)

    def picture(self, labels: Labels, *, side: int = 0) -> _Picture:
        """Return the picture of a row, no side longer than ``side`` pixels where that is not 0.

        Raises ImageError if the image cannot be read, or its size has changed since labelling.
        """
        key = (labels.image.id, side)
        if (kept := self._kept.get(key)) is not None:
            return kept
        made = self._plain(labels) if not side else None
        if made is not None:
            return made
        with self._decoding:
            made = self._decoded(labels, side)
        self._kept.keep(key, made)
        return made

    def _plain(self, labels: Labels) -> _Picture | None:
        size = read_size(labels.image.path, max_pixels=self._recipe.max_pixels)
        _check_size(labels, size)
        place = at(labels.image.path)
        if not isinstance(place, Remote) and place.stat().st_size > _MOST_BYTES:
            return None
        content = place.read_bytes()
        media = next((media for start, media in _AS_THEY_ARE.items() if content.startswith(start)), None)
        return None if media is None or len(content) > _MOST_BYTES else (media, content)

    def _decoded(self, labels: Labels, side: int) -> _Picture:
        pixels = read_pixels(
            labels.image.path, max_pixels=self._recipe.max_pixels, value_range=self._recipe.value_range
        )
        _check_size(labels, pixels.shape[:2])
        image = Pillow.fromarray(pixels)
        if side:
            image.thumbnail((side, side))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=_QUALITY if not side else 80, subsampling=0 if not side else 2)
        return "image/jpeg", out.getvalue()


def _check_size(labels: Labels, size: tuple[int, ...]) -> None:
    if tuple(size) != labels.image.size:
        height, width = labels.image.size
        raise ImageError("changed_image", f"was {width}x{height} when it was labelled, is {size[1]}x{size[0]} now")
