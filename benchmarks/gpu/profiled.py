"""Where the time of the detector's forward pass goes: longest kernels, share of the full rate, waits of the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu import made
from benchmarks.gpu.clock import matrix_rate, seconds, synchronise
from benchmarks.gpu.part import Row, Setting
from benchmarks.gpu.rates import forward
from benchmarks.gpu.shapes import operations

_LONGEST = 10
_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")


def measure(setting: Setting) -> Iterator[Row]:
    """Yield the pass's rate beside that of a matrix product, then its longest kernels, then what the host waits for."""
    batch = 1 if setting.reduced else 8
    model = made.detector(made.detector_checkpoint(setting), setting.device, "bfloat16")
    work = forward(model, batch, setting)
    taken = seconds(work, setting.device)
    full = matrix_rate(setting.device, torch.bfloat16, side=512 if setting.reduced else 8192)
    counted = batch * operations(setting)
    yield {
        "case": f"Swin-T, bfloat16, batch {batch}",
        "tera_operations_a_second": counted / taken / 1e12,
        "matrix_product_tera_a_second": full / 1e12,
        "share_of_full_rate": counted / taken / full,
    }
    events = _events(work, setting)
    kernels = [event for event in events if not event.key.startswith("cuda")]
    whole = sum(_own(event, setting) for event in kernels)
    yield {"case": "the device's own time", "share_of_the_pass": whole / 1e6 / taken}
    for event in sorted(kernels, key=lambda one: -_own(one, setting))[:_LONGEST]:
        yield {
            "case": f"kernel {event.key[:90]}",
            "calls": event.count,
            "ms": _own(event, setting) / 1e3,
            "share": _own(event, setting) / whole,
        }
    for name in _WAITS:
        found = [event for event in events if event.key == name]
        yield {
            "case": f"host waits: {name}",
            "calls": sum(event.count for event in found),
            "ms": sum(event.self_cpu_time_total for event in found) / 1e3,
        }


def _events(work: Any, setting: Setting) -> list[Any]:
    """Return one pass's events by name; waiting for the device at its end is not counted."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * setting.cuda
    synchronise(setting.device)
    with profile(activities=activities) as profiler:
        work()
    return list(profiler.key_averages())


def _own(event: Any, setting: Setting) -> float:
    """Return the microseconds of an event alone, on the device."""
    return float(event.self_device_time_total if setting.cuda else event.self_cpu_time_total)
