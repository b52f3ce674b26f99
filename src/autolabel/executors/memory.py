"""What a worker keeps of one image's memory for the next."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of parameters in glibc's malloc.h."""
LARGEST = 1 << 30
SHAPES = 64


def settle_memory() -> None:
    """Have the process use freed memory again, and not remember every shape of image that it has seen.

    glibc gives large blocks back when they are freed, and the system clears new ones page by page: 105,000 page faults
    for an image with a Swin-T at 480x800, a twentieth of the time. oneDNN, which computes torch's convolutions on a
    CPU, keeps what it prepared for the last 1,024 pairs of layer and shape: 1.4 MB each, in images of many sizes
    1.4 GB. To prepare it anew takes no time that could be measured. The environment counts where it says otherwise.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(SHAPES))
    if sys.platform.startswith("linux") and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(MMAP_THRESHOLD, LARGEST)
            mallopt(TRIM_THRESHOLD, LARGEST)
