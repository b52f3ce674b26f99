"""Multi-scale deformable attention compiled by numba: the values of transformers' module, about ten times faster."""

from __future__ import annotations

from math import floor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.models.grounding_dino import modeling_grounding_dino

try:
    import numba
except ImportError as error:
    raise ImportError("compiled training needs numba: pip install 'autolabel-vision[train]'") from error

_Floats = NDArray[np.float32]
_Integers = NDArray[np.int64]


@numba.njit(fastmath=True, cache=True)
def _sample(
    value: _Floats, shapes: _Integers, starts: _Integers, places: _Floats, weights: _Floats, result: _Floats
) -> None:
    """Add weighted bilinear samples of `value` (batch, tokens, heads, channels) to zeroed `result`."""
    batch, queries, heads, levels, points = weights.shape
    channels = value.shape[3]
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                target = result[b, q, h]
                for level in range(levels):
                    height, width = shapes[level, 0], shapes[level, 1]
                    for p in range(points):
                        x = places[b, q, h, level, p, 0] * width - np.float32(0.5)
                        y = places[b, q, h, level, p, 1] * height - np.float32(0.5)
                        if not (x > -1 and y > -1 and x < width and y < height):
                            continue
                        left, top = floor(x), floor(y)
                        right_part, bottom_part = np.float32(x - left), np.float32(y - top)
                        weight = weights[b, q, h, level, p]
                        for row in range(2):
                            for column in range(2):
                                cell_y, cell_x = top + row, left + column
                                if cell_y < 0 or cell_x < 0 or cell_y >= height or cell_x >= width:
                                    continue
                                part_x = right_part if column else np.float32(1) - right_part
                                part_y = bottom_part if row else np.float32(1) - bottom_part
                                source = value[b, starts[level] + cell_y * width + cell_x, h]
                                factor = weight * part_x * part_y
                                for c in range(channels):
                                    target[c] += factor * source[c]


@numba.njit(fastmath=True, cache=True)
def _sample_backward(
    value: _Floats,
    shapes: _Integers,
    starts: _Integers,
    places: _Floats,
    weights: _Floats,
    gradient: _Floats,
    value_gradient: _Floats,
    places_gradient: _Floats,
    weights_gradient: _Floats,
) -> None:
    """Fill the zeroed gradients of value, places and weights from the gradient of the result."""
    batch, queries, heads, levels, points = weights.shape
    channels = value.shape[3]
    dots = np.zeros((2, 2), np.float32)
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                arriving = gradient[b, q, h]
                for level in range(levels):
                    height, width = shapes[level, 0], shapes[level, 1]
                    for p in range(points):
                        x = places[b, q, h, level, p, 0] * width - np.float32(0.5)
                        y = places[b, q, h, level, p, 1] * height - np.float32(0.5)
                        if not (x > -1 and y > -1 and x < width and y < height):
                            continue
                        left, top = floor(x), floor(y)
                        right_part, bottom_part = np.float32(x - left), np.float32(y - top)
                        left_part, top_part = np.float32(1) - right_part, np.float32(1) - bottom_part
                        weight = weights[b, q, h, level, p]
                        for row in range(2):
                            for column in range(2):
                                cell_y, cell_x = top + row, left + column
                                dots[row, column] = 0
                                if cell_y < 0 or cell_x < 0 or cell_y >= height or cell_x >= width:
                                    continue
                                part_x = right_part if column else left_part
                                part_y = bottom_part if row else top_part
                                token = starts[level] + cell_y * width + cell_x
                                source = value[b, token, h]
                                target = value_gradient[b, token, h]
                                factor = weight * part_x * part_y
                                dot = np.float32(0)
                                for c in range(channels):
                                    dot += arriving[c] * source[c]
                                    target[c] += factor * arriving[c]
                                dots[row, column] = dot
                        upper = left_part * dots[0, 0] + right_part * dots[0, 1]
                        lower = left_part * dots[1, 0] + right_part * dots[1, 1]
                        slope_x = top_part * (dots[0, 1] - dots[0, 0]) + bottom_part * (dots[1, 1] - dots[1, 0])
                        weights_gradient[b, q, h, level, p] = top_part * upper + bottom_part * lower
                        places_gradient[b, q, h, level, p, 0] = weight * width * slope_x
                        places_gradient[b, q, h, level, p, 1] = weight * height * (lower - upper)


class _DeformableSampling(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, shapes: Tensor, starts: Tensor, places: Tensor, weights: Tensor) -> Tensor:
        value, places, weights = (tensor.detach().contiguous() for tensor in (value, places, weights))
        result = value.new_zeros(*places.shape[:3], value.shape[3])
        _sample(*_arrays(value, shapes, starts, places, weights, result))
        ctx.save_for_backward(value, shapes, starts, places, weights)
        return result.flatten(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        value, shapes, starts, places, weights = ctx.saved_tensors
        arriving = gradients[0].contiguous().view(*places.shape[:3], value.shape[3])
        leaving = [torch.zeros_like(tensor) for tensor in (value, places, weights)]
        _sample_backward(*_arrays(value, shapes, starts, places, weights, arriving, *leaving))
        return leaving[0], None, None, leaving[1], leaving[2]


def _arrays(*tensors: Tensor) -> tuple[NDArray[Any], ...]:
    return tuple(tensor.numpy() for tensor in tensors)


class CompiledDeformableAttention(nn.Module):
    """Stand-in for transformers' `MultiScaleDeformableAttention` on a CPU."""

    def forward(
        self,
        value: Tensor,
        value_spatial_shapes: Tensor,
        value_spatial_shapes_list: list[tuple[int, int]],
        level_start_index: Tensor,
        sampling_locations: Tensor,
        attention_weights: Tensor,
        im2col_step: int,
    ) -> Tensor:
        """Return (batch, queries, heads * channels) for value (batch, tokens, heads, channels).

        `sampling_locations` is (batch, queries, heads, levels, points, 2) as x, y in 0..1 and
        `attention_weights` the same without the last dimension; samples outside the map count as zero. Computes in
        float32 whatever arrives.
        """
        value, sampling_locations, attention_weights = (
            tensor.float() for tensor in (value, sampling_locations, attention_weights)
        )
        result: Tensor = _DeformableSampling.apply(  # type: ignore[no-untyped-call]
            value, value_spatial_shapes, level_start_index, sampling_locations, attention_weights
        )
        return result


def compile_attention(model: nn.Module) -> None:
    """Replace every deformable attention inside `model` by the compiled one."""
    for module in model.modules():
        if isinstance(module, modeling_grounding_dino.GroundingDinoMultiscaleDeformableAttention):
            module.attn = CompiledDeformableAttention()  # type: ignore[assignment]
