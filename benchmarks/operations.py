"""Where the CPU time of one forward pass of a Swin-T's Grounding DINO goes, and the least that its products need.

Every operation of torch is timed by the CPU time of the process, and counts with its quickest of several passes; so the
sum is below the time of a pass, which also has Python's own share and what caches lose.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.utils import logging

from autolabel.executors.tuning import reuse_memory
from autolabel_grounding_dino.deformable import NumbaKernel
from benchmarks.boxes import photos, size_of, swin_t
from benchmarks.gpu import made

_FLOOR = 0.05
_SAMPLING = "deformable attention (numba)"
_LEAST = 1e8
"""Floating-point operations below which a product's rate says nothing of the processor."""


@dataclass(frozen=True)
class Call:
    """One call of an operation."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    kind: str
    """The type of its first tensor."""
    flops: float

    @property
    def group(self) -> str:
        """Return the row of the table that the call belongs to."""
        return f"products in {self.kind}" if self.flops else self.name


@dataclass
class Clocks(TorchDispatchMode):
    """Times each operation that torch is asked for while it is entered."""

    calls: list[Call] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operation, and note what it was and what it took."""
        began = time.process_time()
        result = func(*args, **(kwargs or {}))
        taken = time.process_time() - began
        tensors = [one for one in args if isinstance(one, Tensor)]
        name = func._schema.name.removeprefix("aten::")
        shapes = tuple(tuple(one.shape) for one in tensors)
        kind = str(tensors[0].dtype).removeprefix("torch.") if tensors else ""
        self.note(Call(name, shapes, kind, operations(name, shapes, result)), taken)
        return result

    def note(self, call: Call, taken: float) -> None:
        """Keep a call with its CPU seconds."""
        self.calls.append(call)
        self.seconds.append(taken)


def operations(name: str, shapes: tuple[tuple[int, ...], ...], result: Any) -> float:
    """Return the floating-point operations of a product of matrices; 0 for anything else."""
    if name in ("mkldnn::_linear_pointwise", "linear", "mm", "bmm", "matmul"):
        return 2.0 * result.numel() * shapes[0][-1]
    if name in ("addmm", "baddbmm"):
        return 2.0 * result.numel() * shapes[1][-1]
    if name == "scaled_dot_product_attention":
        return 4.0 * result.numel() * shapes[1][-2]
    if name in ("conv2d", "convolution"):
        weight = shapes[1]
        return 2.0 * result.numel() * weight[1] * weight[2] * weight[3]
    return 0.0


@contextmanager
def kernel_timed(clocks: Clocks) -> Iterator[None]:
    """Time deformable attention too, which is no operation of torch."""
    stock = NumbaKernel.__call__

    def timed(self: NumbaKernel, *tensors: Tensor) -> Tensor:
        before, began = sum(clocks.seconds), time.process_time()
        result = stock(self, *tensors)
        taken = time.process_time() - began - (sum(clocks.seconds) - before)
        clocks.note(Call(_SAMPLING, (tuple(tensors[0].shape),), "", 0.0), taken)
        return result

    with mock.patch.object(NumbaKernel, "__call__", timed):
        yield


def quickest(work: Callable[[], Any], passes: int) -> tuple[float, list[tuple[Call, float]]]:
    """Return the CPU seconds of the quickest pass, and each call with its quickest."""
    work()
    plain, each = [], []
    for _ in range(passes):
        began = time.process_time()
        work()
        plain.append(time.process_time() - began)
        with Clocks() as clocks, kernel_timed(clocks):
            work()
        each.append(clocks)
    times = zip(*(clocks.seconds for clocks in each), strict=True)
    return min(plain), list(zip(each[0].calls, map(min, times), strict=True))


def summed(timed: list[tuple[Call, float]], key: Callable[[Call], Any]) -> list[tuple[Any, float, float, int]]:
    """Return (key, seconds, floating-point operations, calls), the longest first."""
    rows: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for call, seconds in timed:
        row = rows[key(call)]
        row[0], row[1], row[2] = row[0] + seconds, row[1] + call.flops, row[2] + 1
    return sorted(((one, row[0], row[1], int(row[2])) for one, row in rows.items()), key=lambda row: -row[1])


def table(title: str, rows: list[tuple[Any, float, float, int]]) -> None:
    """Print rows with their rates."""
    print(f"{title:84}      ms  calls  GFLOP  GFLOP/s")
    for name, seconds, flops, calls in rows:
        rate = f"{1e-9 * flops:6.1f} {1e-9 * flops / seconds:8.0f}" if flops else ""
        print(f"{name!s:84.84} {1e3 * seconds:7.1f} {calls:6} {rate}", flush=True)


def main() -> None:
    """Print the operations, the slowest products, and the bound; then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=size_of, default="480x800", help="height x width of the input")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--rows", type=int, default=20, help="rows of a table")
    given = parser.parse_args()
    torch.set_num_threads(1)
    reuse_memory()
    logging.disable_progress_bar()
    totals: dict[str, float] = {}
    result: dict[str, Any] = {"benchmark": "operations", "input": list(given.size), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as name:
        checkpoint = swin_t(Path(name) / "swin-t", given.size)
        (sample,) = made.samples(photos(Path(name) / "photos", 1, given.size), made.THINGS)
        for precision in ("float32", "bfloat16"):
            model = made.detector(checkpoint, "cpu", precision)
            item = model.preprocess(sample)
            totals[precision], timed = quickest(
                lambda: model.detect(model.prepare([item]), [sample.prompt], _FLOOR),  # noqa: B023
                given.passes,
            )
            every = sum(seconds for _, seconds in timed)
            print(f"\n{precision}: {totals[precision]:.3f} s of CPU a pass, operations {every:.3f} s")
            groups = summed(timed, lambda call: call.group)
            table("operation", groups[: given.rows])
            products = [(call, seconds) for call, seconds in timed if call.flops]
            table("product", summed(products, lambda call: f"{call.name} {call.kind} {call.shapes}")[: given.rows])
            result[precision] = {"seconds": totals[precision], "operations": groups}
    flops = sum(call.flops for call, _ in products)
    large = [(call.flops, seconds) for call, seconds in products if call.flops > _LEAST]
    rate = max(one / seconds for one, seconds in large)
    least = flops / rate
    result |= {"gflop": 1e-9 * flops, "best_gflops": 1e-9 * rate, "least": least}
    print(
        f"\nbfloat16 is {totals['float32'] / totals['bfloat16']:.2f} times as fast as float32. Its products are"
        f" {1e-9 * flops:.0f} GFLOP: {least:.2f} s if all ran at the best rate of one here, {1e-9 * rate:.0f} GFLOP/s."
        f" With nothing beside them it would be {totals['float32'] / least:.2f} times as fast; all else takes"
        f" {totals['bfloat16'] - least:.2f} s."
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
