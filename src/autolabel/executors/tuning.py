"""Process-wide settings; only workers and the command line call ``tune_process``."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of parameters in glibc's malloc.h."""
_LARGEST = 1 << 30
_SHAPES = 64


def tune_process(threads: int) -> None:
    """Set the number of threads of this process, and make it reuse freed memory."""
    limit_threads(threads)
    reuse_memory()


def limit_threads(count: int) -> None:
    """Set the threads of libraries yet to be imported, and of torch if already imported.

    Waiting threads sleep instead of spinning, unless the environment sets it: on shared cores, spinning makes two
    threads up to six times slower.
    """
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def reuse_memory() -> None:
    """Make the process reuse freed memory, and limit oneDNN's cache of image shapes.

    glibc returns large freed blocks to the system, which zeroes new ones page by page: 105,000 page faults for an image
    of 480x800 with a Swin-T, 5 % of the time. Other threads have arenas that are too small for such blocks: with one
    arena for all threads, the shipped checkpoint is 10 % faster in a thread.

    oneDNN, which computes torch's convolutions on a CPU, caches the last 1,024 pairs of layer and shape, 1.4 MB each:
    up to 1.4 GB for images of many sizes. Recomputing them takes no measurable time. Environment variables take
    precedence.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_SHAPES))
    if sys.platform.startswith("linux") and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has no mallopt
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGEST)
            mallopt(_TRIM_THRESHOLD, _LARGEST)
            mallopt(_ARENA_MAX, 1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set torch's number of threads while the block runs.

    Results have the same bytes only for the same number of threads, which a plan fixes. Does nothing if torch is not
    imported.
    """
    torch = sys.modules.get("torch")
    before = count if torch is None else torch.get_num_threads()
    if torch is None or before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
