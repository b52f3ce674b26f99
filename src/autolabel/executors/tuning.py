"""Settings of whole processes: only workers and the command line, which own theirs, call ``tune_process``."""

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
    """Set this process to so many threads, and to use freed memory again."""
    limit_threads(threads)
    reuse_memory()


def limit_threads(count: int) -> None:
    """Set the threads of libraries yet to be imported, and of torch where it already is.

    Threads that wait for one another sleep, unless the environment says otherwise: where cores are shared with other
    work they would burn them (two threads on two busy cores took six times as long).
    """
    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def reuse_memory() -> None:
    """Have the process use freed memory again, and not remember every shape of image that it has seen.

    glibc gives large blocks back when they are freed, and the system clears new ones page by page: 105,000 page faults
    for an image with a Swin-T at 480x800, a twentieth of the time. Threads beside the main one have heaps of their own,
    which are too small for such blocks: with one heap for all, the shipped checkpoint takes a tenth less in a thread.

    oneDNN, which computes torch's convolutions on a CPU, keeps what it prepared for the last 1,024 pairs of layer and
    shape: 1.4 MB each, in images of many sizes 1.4 GB. To prepare it anew takes no time that could be measured. The
    environment counts where it says otherwise.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_SHAPES))
    if sys.platform.startswith("linux") and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, _LARGEST)
            mallopt(_TRIM_THRESHOLD, _LARGEST)
            mallopt(_ARENA_MAX, 1)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give torch so many threads while the block runs, and those that it had before afterwards.

    Results are the same bytes only for the same number of threads, and a plan says how many. Nothing happens where
    torch is not imported.
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
