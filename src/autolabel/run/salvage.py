"""Run a batch so that one bad member costs only itself."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from autolabel.errors import MachineError

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Outcome: TypeAlias = R | Exception


def salvage(work: Callable[[Sequence[T]], Sequence[R]], batch: Sequence[T]) -> list[R | Exception]:
    """Return ``work(batch)``, or where that raises, the same for each half, down to the member that causes it.

    A batch that runs out of memory is halved in the same way, after its memory is freed. MachineError passes through.
    """
    if not batch:
        return []
    try:
        results = list(work(batch))
    except MachineError:
        raise
    except Exception as error:
        error.__traceback__ = None if out_of_memory(error) else error.__traceback__
        if len(batch) == 1:
            return [error]
        failure = error
    else:
        if len(results) != len(batch):
            raise RuntimeError(f"{work!r} returned {len(results)} results for a batch of {len(batch)}")
        return list(results)
    log.info("a batch of %d failed (%s: %s); trying its halves", len(batch), type(failure).__name__, failure)
    if out_of_memory(failure):
        free_memory()
    half = len(batch) // 2
    return salvage(work, batch[:half]) + salvage(work, batch[half:])


def out_of_memory(error: Exception) -> bool:
    """Return whether the host or the device ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error).lower()


def free_memory() -> None:
    """Give cached device memory back."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
