"""Resolve the devices of a spec to those of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from autolabel.errors import MachineError, SpecError
from autolabel.plan.machine import cores

_Devices = str | Sequence[int]


def resolve_devices(asked: _Devices) -> list[str]:
    """Return device names such as ``["cuda:0", "cuda:1"]`` or ``["cpu"]``.

    ``auto`` takes all GPUs, or without any the CPU. Raises MachineError, listing the available devices, for a missing
    GPU.
    """
    if asked == "cpu":
        return ["cpu"]
    if asked == "mps":
        if mps_there():
            return ["mps"]
        raise MachineError("this machine has no Apple GPU (mps)", hint="set devices=cpu or devices=auto")
    count = cuda_count()
    if asked == "auto":
        return [f"cuda:{index}" for index in range(count)] or ["mps" if mps_there() else "cpu"]
    missing = [index for index in asked if int(index) >= count]
    if missing:
        gpus = f"GPUs 0 to {count - 1}" if count > 1 else "GPU 0 only" if count else "no GPU that CUDA can use"
        message = f"asked for GPU {', '.join(map(str, missing))}, but this machine has {gpus}"
        raise MachineError(message, hint="set devices=cpu or devices=auto")
    return [f"cuda:{index}" for index in asked]


def asked_device(name: str) -> _Devices:
    """Return a device's name in the form of a spec; raises SpecError if it is invalid."""
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number.isdecimal() or not number) and number.isascii():
        return [int(number or 0)]
    if name in ("cpu", "mps"):
        return name
    raise SpecError(f"{name!r} is not a device", hint="choose cpu, cuda:0 or mps")


def fallback(asked: _Devices | None, taken: Sequence[str]) -> Iterator[str]:
    """Yield a notice if an explicit ``auto`` found no GPU and fell back; None: ``devices`` was not set."""
    if asked == "auto" and "cpu" in taken:
        yield "devices: auto finds no GPU and uses the CPU"


def cuda_count() -> int:
    """Return how many CUDA devices torch can use; torch is imported only where a driver is present."""
    if (
        not any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia"))
        and os.name != "nt"
    ):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def mps_there() -> bool:
    """Return whether this is an Apple machine whose GPU torch can use."""
    if sys.platform != "darwin":
        return False
    import torch

    return torch.backends.mps.is_available()


def threads_per_worker(devices: Sequence[str], asked: int | None) -> int:
    """Return torch's threads per worker: as set, otherwise an equal share of this machine's cores."""
    return asked or max(1, cores() // max(1, len(devices)))
