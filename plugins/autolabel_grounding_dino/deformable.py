"""Multi-scale deformable attention without ``grid_sample``: by numba or Triton, else by torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from autolabel_grounding_dino import torch_kernel
from autolabel_labeling.joined import joined

_log = logging.getLogger(__name__)

_TOLERANCE = 1e-3
"""The largest error of a kernel on a GPU, where products may be rounded, before another kernel is used."""


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""The heart of deformable attention.

From value (batch, tokens, heads, channels), the levels' shapes (levels, 2) as height, width and first tokens (levels,),
references (batch, queries, levels, 2 or 4) as points x, y or boxes x, y, width, height in 0..1, and what the queries'
projections give (batch, queries, heads * levels * points * 3), offsets before logits, both float32, it makes
(batch, queries, heads, channels).
"""


class FusedAttention(nn.Module):
    """Stand-in for transformers' ``GroundingDinoMultiscaleDeformableAttention``: same weights, same result.

    Offsets and weights come from one matrix product, in float32 also under autocast; the kernel does the rest.
    """

    def __init__(self, stock: Any, kernel: Kernel) -> None:
        super().__init__()
        self._kernel, self._heads = kernel, stock.n_heads
        self.value_proj, self.output_proj = stock.value_proj, stock.output_proj
        self.drawing: Any = joined(stock.sampling_offsets, stock.attention_weights)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        position_embeddings: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        spatial_shapes_list: list[tuple[int, int]] | None = None,
        level_start_index: Tensor | None = None,
        output_attentions: bool = False,
    ) -> tuple[Tensor, None]:
        """Attend from queries (batch, Q, width) to places (batch, S, width); attention weights are not returned.

        ``attention_mask`` (batch, S) is True for valid places; for the other arguments see ``Kernel``.
        """
        assert encoder_hidden_states is not None and reference_points is not None
        assert spatial_shapes is not None and level_start_index is not None
        queries = hidden_states if position_embeddings is None else hidden_states + position_embeddings
        with torch.autocast(queries.device.type, enabled=False):
            drawn = self.drawing(queries.float())
        value = self.value_proj(encoder_hidden_states)
        if attention_mask is not None and not (value.device.type == "cpu" and bool(attention_mask.all())):
            value = value.masked_fill(~attention_mask[..., None], 0.0)
        value = torch.unflatten(value, -1, (self._heads, -1))
        result = self._kernel(value, spatial_shapes, level_start_index, reference_points.float(), drawn)
        return self.output_proj(result.flatten(2)), None


class NumbaKernel:
    """The CPU kernel, with torch's number of threads; results are bit-identical for any number."""

    def __init__(self) -> None:
        from autolabel_grounding_dino.compiled import attend

        self._attend = attend
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, value: Tensor, shapes: Tensor, starts: Tensor, references: Tensor, drawn: Tensor) -> Tensor:
        """Return (batch, queries, heads, channels) in float32, of values in float32 or bfloat16."""
        result = torch.zeros(*drawn.shape[:2], *value.shape[2:])
        half = value.dtype == torch.bfloat16
        attend = self._attend("uint16" if half else "float32")
        tensors = (value.view(torch.uint16) if half else value.float(), shapes, starts, references, drawn, result)
        arrays, queries = [tensor.contiguous().numpy() for tensor in tensors], drawn.shape[1]
        threads = min(torch.get_num_threads(), queries)
        if threads == 1:
            attend(*arrays, 0, queries)
            return result
        self._pool = self._pool or ThreadPoolExecutor(threads, thread_name_prefix="sampling")
        edges = [queries * part // threads for part in range(threads + 1)]
        list(self._pool.map(lambda first, last: attend(*arrays, first, last), edges[:-1], edges[1:]))
        return result


def quickened(stock: Any, device: str) -> Any:
    """Return the fastest exact form of a deformable attention module on a device; transformers' own on mps."""
    return stock if device.startswith("mps") else FusedAttention(stock, fastest_kernel(device))


def fastest_kernel(device: str) -> Kernel:
    """Return numba's kernel on a CPU, Triton's on a GPU where it passes a trial, otherwise torch's."""
    if device == "cpu" and find_spec("numba") is not None:
        return numba_kernel()
    if device.startswith("cuda") and find_spec("triton") is not None:
        return triton_kernel(device)
    return torch_kernel.attend


@cache
def numba_kernel() -> NumbaKernel:
    """Return the numba kernel of this process, with its threads."""
    return NumbaKernel()


@cache
def triton_kernel(device: str) -> Kernel:
    """Return Triton's kernel if it compiles on ``device`` and agrees with torch's; else warn and return torch's."""
    try:
        from autolabel_grounding_dino.triton_kernel import attend

        apart = disagreement(attend, device)
    except Exception as error:  # compilers fail in many ways; torch's kernel is the fallback
        _log.warning("Triton's kernel does not run on %s, torch's is used: %s", device, str(error).splitlines()[:1])
        return torch_kernel.attend
    if apart > _TOLERANCE:
        _log.warning("Triton's kernel is %.1e off on %s, torch's is used", apart, device)
        return torch_kernel.attend
    return attend


def disagreement(kernel: Kernel, device: str) -> float:
    """Return the largest difference between a kernel and torch's on a small synthetic case."""
    generator = torch.Generator().manual_seed(0)
    shapes, starts = torch.tensor([[5, 7], [3, 2]], device=device), torch.tensor([0, 35], device=device)
    value = torch.randn(2, 41, 4, 8, generator=generator).to(device)
    references = torch.rand(2, 37, 2, 2, generator=generator).to(device)
    drawn = torch.randn(2, 37, 4 * 2 * 3 * 3, generator=generator).to(device) * 2
    expected = torch_kernel.attend(value, shapes, starts, references, drawn)
    return float((kernel(value, shapes, starts, references, drawn) - expected).abs().max())
