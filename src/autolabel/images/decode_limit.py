"""A limit on the time to decode one image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from autolabel.errors import ImageError
from autolabel.images.files import Source

_SECONDS = 60.0
"""The most seconds that Pillow may take to decode one image."""
MAX_SCANS = 200
"""The most scans of a progressive JPEG: each scan covers all pixels; usual files have about ten."""
_SCAN = b"\xff\xda"
_BLOCK = 1 << 20


def check_scans(image: Pillow.Image, source: Source) -> None:
    """Raise ImageError ``too_slow`` for a progressive JPEG with too many scans, which would take minutes."""
    if not (image.info.get("progressive") or image.info.get("progression")):
        return
    scans = _scans(source)
    if scans > MAX_SCANS:
        raise ImageError("too_slow", f"{scans:,} scans of a progressive JPEG, at most {MAX_SCANS} are decoded")


def _scans(source: Source) -> int:
    if not isinstance(source, str):
        source.seek(0)
        count = source.read().count(_SCAN)
        source.seek(0)
        return count
    count, last = 0, b""
    with Path(source).open("rb") as stream:
        while block := stream.read(_BLOCK):
            count += (last + block).count(_SCAN)
            last = block[-1:] if not block.endswith(_SCAN) else b""
    return count


@contextmanager
def hurried(image: Pillow.Image, *, seconds: float = _SECONDS) -> Iterator[None]:
    """Limit the time in which Pillow may read an image's bytes; then raise ImageError ``too_slow``."""
    stream: Any = getattr(image, "fp", None)
    if stream is None or image.format not in ("JPEG", "PNG", "PPM"):
        yield
        return
    holder: Any = image
    holder.fp = _Clocked(stream, time.monotonic() + seconds, seconds)
    try:
        yield
    finally:
        if isinstance(holder.fp, _Clocked):
            holder.fp = stream


class _Clocked:
    """A stream with a deadline."""

    def __init__(self, stream: Any, until: float, seconds: float) -> None:
        self._stream = stream
        self._until = until
        self._seconds = seconds

    def read(self, *size: int) -> Any:
        """Read from the stream, until the deadline."""
        if time.monotonic() > self._until:
            raise ImageError("too_slow", f"not decoded after {self._seconds:g} s")
        return self._stream.read(*size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
