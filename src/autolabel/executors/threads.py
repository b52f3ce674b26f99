"""Give numeric libraries the number of threads that the plan says."""

from __future__ import annotations

import os
import sys

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def limit_threads(count: int) -> None:
    """Set the threads of libraries yet to be imported, and of torch where it already is.

    Threads that wait for one another sleep, unless the environment says otherwise: where cores are shared with other
    work they would burn them (two threads on two busy cores took six times as long).
    """
    for name in VARIABLES:
        os.environ[name] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
