"""The memory that batches take, and a batch that runs out of it for real: it is halved, and the boxes stay the same."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from autolabel.run.anneal import bisect_on_error, out_of_memory
from autolabel.types import Instances
from autolabel_grounding_dino.labeler import GroundingDino
from benchmarks._matched import matched
from benchmarks.gpu import made
from benchmarks.gpu.part import Row, Setting
from benchmarks.gpu.rates import forward

_FLOOR = 0.05
_MEBI = 1 << 20
_MMAP_THRESHOLD = -3
"""The name of a parameter in glibc's malloc.h."""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the peak of each batch on a card, then what becomes of a batch that does not fit."""
    if not setting.cuda:  # every block is asked of the system and given back: none is left over in a heap
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 16)
    sides = {"short_side": 288, "long_side": 480} if setting.reduced else {}  # the reduced network takes too little
    model = made.detector(made.detector_checkpoint(setting), setting.device, "bfloat16", **sides)
    if setting.cuda:
        yield {"case": "Swin-T, weights", "mebibytes": torch.cuda.memory_allocated() / _MEBI}
        for batch in (1, 4, 8, 16):
            torch.cuda.reset_peak_memory_stats()
            forward(model, batch, setting)()
            torch.cuda.synchronize()
            yield {
                "case": f"Swin-T, bfloat16, batch {batch}",
                "mebibytes": torch.cuda.max_memory_allocated() / _MEBI,
                "reserved_mebibytes": torch.cuda.max_memory_reserved() / _MEBI,
            }
    yield _starved(model, setting)


def _starved(model: GroundingDino, setting: Setting) -> Row:
    """Give a batch too little memory; compare its boxes with those that it has with enough."""
    count = 16
    paths = made.large_photos(setting, 2) * (count // 2)
    items = [model.preprocess(photo) for photo in made.samples(paths, made.THINGS)]
    tries: list[tuple[int, str]] = []

    def work(batch: Sequence[Any]) -> Sequence[Instances]:
        try:
            found = model.detect(model.prepare(batch), [made.THINGS] * len(batch), _FLOOR)
        except Exception as error:
            tries.append((len(batch), "out of memory" if out_of_memory(error) else f"{type(error).__name__}: {error}"))
            raise
        tries.append((len(batch), "fits"))
        return found

    enough = [found for item in items for found in work([item])]
    for size in (2, 4, 8, 16):  # oneDNN prepares each shape once, and says unclearly what it lacks
        work(items[:size])
    with _little_memory(lambda: work(items), setting.device):
        tries.clear()
        found = bisect_on_error(work, items)
    failed = [one for one in found if isinstance(one, Exception)]
    halved = [size for size, outcome in tries if outcome == "out of memory"]
    result = matched((a, b) for a, b in zip(enough, found, strict=True) if not isinstance(b, Exception))
    return {
        "case": f"a batch of {count} out of memory",
        "tries": ", ".join(f"{size}: {outcome[:100]}" for size, outcome in tries),
        "failed": len(failed),
        "matched": result.share,
        "holds": bool(halved) and not failed and result.share >= 0.9,
    }


@contextmanager
def _little_memory(whole: Callable[[], Any], device: str) -> Iterator[None]:
    """Leave a third of what the whole batch takes; on the CPU (Linux) of the address space."""
    if not device.startswith("cuda"):
        with _little_address_space(whole):
            yield
        return
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    whole()
    peak = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((before + peak / 3) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@contextmanager
def _little_address_space(whole: Callable[[], Any]) -> Iterator[None]:
    """Limit how much address space there may be."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest point so far
    before = _status("VmRSS")
    whole()
    room = (_status("VmHWM") - before) // 3
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _status(name: str) -> int:
    """Return the bytes that the system states of this process under a name."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
