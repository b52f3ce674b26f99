"""A picture with boxes, and with masks if a network is evaluated on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from autolabel.images import ValueRange, read_pixels
from autolabel.types import Rle

_MOST_BYTES = 1 << 30
"""Bytes of photos that are kept decoded."""


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A photo's path or a scene's pixels (h, w, 3) uint8; boxes (n, 4) x0, y0, x1, y1; n masks, or none."""

    source: str | Path | NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: tuple[Rle, ...] = ()
    value_range: ValueRange = None
    """The values of a photo that become black and white, where it has more than 8 bits."""

    def pixels(self) -> NDArray[np.uint8]:
        """Return the pixels (height, width, 3) uint8 RGB, decoding the photo unless it is cached."""
        if isinstance(self.source, np.ndarray):
            return self.source
        read = partial(read_pixels, self.source, value_range=self.value_range)
        return _decoded.get((self.source, self.value_range), read)


class _PixelCache:
    """Keeps the pixels that were used last, up to a number of bytes; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes, self._lock = most, 0, Lock()
        self._kept: OrderedDict[Hashable, NDArray[np.uint8]] = OrderedDict()

    def get(self, key: Hashable, read: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Return the pixels under a key; ``read`` gets them if they are not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        pixels = read()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = pixels
                self._bytes += pixels.nbytes
            while self._bytes > self._most:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return pixels


_decoded = _PixelCache(_MOST_BYTES)
