"""The kernel of deformable attention that a device gets, beside torch's form: difference and time at real shapes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from autolabel_grounding_dino import torch_kernel
from autolabel_grounding_dino.deformable import fastest_kernel
from benchmarks.gpu.clock import seconds
from benchmarks.gpu.part import Row, Setting

_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
_HEADS, _CHANNELS, _POINTS = 8, 32, 4


def measure(setting: Setting) -> Iterator[Row]:
    """Yield both kernels' times for an encoder's and a decoder's layer, in float32 and bfloat16."""
    kernel = fastest_kernel(setting.device)
    shapes = [(12, 20), (6, 10), (3, 5), (2, 3)] if setting.reduced else [(100, 167), (50, 84), (25, 42), (13, 21)]
    places = sum(height * width for height, width in shapes)
    batch = 2 if setting.reduced else 4
    for layer, queries, coordinates in (("encoder", places, 2), ("decoder", 900, 4)):
        for dtype, tolerance in _TOLERANCES.items():
            given = _case(shapes, batch, queries, coordinates, dtype, setting.device)
            expected = torch_kernel.attend(*given).float()
            apart = float((kernel(*given).float() - expected).abs().max())
            yield {
                "case": f"{layer}, {queries} queries, batch {batch}, {_name(dtype)}",
                "kernel": type(kernel).__name__ if not hasattr(kernel, "__module__") else _origin(kernel),
                "kernel_ms": 1000 * seconds(lambda: kernel(*given), setting.device),  # noqa: B023
                "torch_ms": 1000 * seconds(lambda: torch_kernel.attend(*given), setting.device),  # noqa: B023
                "apart": apart,
                "holds": apart <= tolerance,
            }
    if setting.cuda:
        own = kernel is not torch_kernel.attend
        yield {"case": "the card runs Triton's kernel, not torch's form", "holds": own}


def _case(
    shapes: list[tuple[int, int]], batch: int, queries: int, coordinates: int, dtype: torch.dtype, device: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return a kernel's arguments: random, with offsets of some cells."""
    draw = torch.Generator().manual_seed(queries)
    places = [height * width for height, width in shapes]
    starts = torch.tensor([sum(places[:level]) for level in range(len(places))])
    value = torch.randn(batch, sum(places), _HEADS, _CHANNELS, generator=draw)
    references = torch.rand(batch, queries, len(shapes), coordinates, generator=draw)
    drawn = 2 * torch.randn(batch, queries, 3 * _HEADS * len(shapes) * _POINTS, generator=draw)
    return (
        value.to(device, dtype),
        torch.tensor(shapes, device=device),
        starts.to(device),
        references.to(device),
        drawn.to(device),
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _origin(kernel: object) -> str:
    """Return the module that a kernel comes from: ``triton_kernel``, ``torch_kernel`` or ``deformable`` (numba)."""
    return str(kernel.__module__).rpartition(".")[2]
