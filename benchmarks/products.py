"""Products of matrices on one thread, at the sizes of a Swin-T's Grounding DINO: every form that this machine offers.

Which forms are used, and why: docs/performance.md.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autolabel.executors.tuning import reuse_memory
from autolabel_labeling.half import HalfLinear

SIZES = ((7979, 256, 2048), (7979, 2048, 256), (7979, 256, 256), (1500, 384, 1536), (24000, 96, 384))
"""Rows, columns in, columns out."""
_TURNS = 7
_Form = Callable[[], Any]


def quickest(forms: dict[str, _Form]) -> dict[str, float]:
    """Return the least CPU seconds of each form; they take turns."""
    for work in forms.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(_TURNS):
        for name, work in forms.items():
            began = time.process_time()
            work()
            taken[name].append(time.process_time() - began)
    return {name: min(times) for name, times in taken.items()}


def int8(stock: nn.Linear, rows: Tensor) -> _Form:
    """Return oneDNN's product of 8-bit weights, one scale a column, and rows rounded to 8 bits as they come."""
    ops: Any = torch.ops.onednn
    scales = stock.weight.abs().amax(1) / 127
    packed = ops.qlinear_prepack((stock.weight / scales[:, None]).round().to(torch.int8), list(rows.shape))
    zeros = torch.zeros(len(scales), dtype=torch.int32)

    def work() -> Tensor:
        low, high = (float(bound) for bound in torch.aminmax(rows))
        scale, zero = (high - low) / 255, round(-low * 255 / (high - low))
        whole = torch.quantize_per_tensor(rows, scale, zero, torch.quint8).int_repr()
        made: Tensor = ops.qlinear_pointwise(
            whole, scale, zero, packed, scales, zeros, stock.bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return made

    return work


def main() -> None:
    """Print GFLOP/s and the relative error of each form, then the same as one line of JSON."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    reuse_memory()
    torch.manual_seed(0)
    table = []
    with torch.inference_mode():
        for count, width, out in SIZES:
            stock, rows = nn.Linear(width, out), torch.randn(count, width)
            layer = HalfLinear(stock)
            expected = stock(rows)
            half, weight, bias = rows.bfloat16(), stock.weight.bfloat16(), stock.bias.bfloat16()
            whole, given = np.ascontiguousarray(stock.weight.numpy().T), rows.numpy()
            made: dict[str, _Form] = {
                "float32, torch (MKL)": lambda: stock(rows),  # noqa: B023
                "float32, numpy (OpenBLAS)": lambda: torch.from_numpy(given @ whole) + stock.bias,  # noqa: B023
                "bfloat16, torch": lambda: functional.linear(half, weight, bias),  # noqa: B023
                "bfloat16, laid out, float32 in and out": lambda: layer(rows),  # noqa: B023
                "int8, laid out, float32 in and out": int8(stock, rows),
            }
            seconds = quickest(made)
            for name, work in made.items():
                error = float((work().float() - expected).std() / expected.std())
                rate = 2e-9 * count * width * out / seconds[name]
                table.append({"size": [count, width, out], "form": name, "gflops": rate, "error": error})
                print(f"{count:6} x {width:4} x {out:4}  {name:40} {rate:6.0f} GFLOP/s, error {error:.4f}", flush=True)
    print(json.dumps({"benchmark": "products", "load": os.getloadavg()[0], "rows": table}))


if __name__ == "__main__":
    main()
