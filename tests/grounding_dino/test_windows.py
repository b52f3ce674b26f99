"""Swin's layers with gathered windows compute what transformers' layers compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import SwinConfig
from transformers.models.swin.modeling_swin import SwinLayer

from autolabel_labeling.windows import WindowLayer, gather_windows

_WINDOW = 4


def layer(*, shift: int, bias: bool = True) -> Any:
    """Return a random layer of transformers."""
    torch.manual_seed(shift)
    config = SwinConfig(window_size=_WINDOW, qkv_bias=bias)
    config._attn_implementation = "sdpa"
    module = SwinLayer(config, 24, (16, 16), 3, shift_size=shift).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("size", [(8, 12), (9, 5), (7, 15), (4, 9), (13, 4)])
@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("always", [False, True])
def test_layer_is_that_of_transformers(always: bool, shift: int, size: tuple[int, int]) -> None:
    stock = layer(shift=shift)
    rows = torch.randn(2, size[0] * size[1], 24)
    with torch.inference_mode():
        result, _ = WindowLayer(stock)(rows, size, always_partition=always)
        expected, _ = stock(rows, size, always_partition=always)
    assert torch.allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(2, 3), (3, 9), (9, 1), (1, 1)])
@pytest.mark.parametrize("shift", [0, 2])
def test_a_small_map_is_padded_as_in_transformers_backbone(shift: int, size: tuple[int, int]) -> None:
    stock, rows = layer(shift=shift), torch.randn(2, size[0] * size[1], 24)
    with torch.inference_mode():
        result, _ = WindowLayer(stock)(rows, size, always_partition=True)
        assert torch.allclose(result, stock(rows, size, always_partition=True)[0], atol=1e-5)


def test_layer_without_biases_is_that_of_transformers() -> None:
    stock, rows = layer(shift=2, bias=False), torch.randn(1, 70, 24)
    with torch.inference_mode():
        assert torch.allclose(WindowLayer(stock)(rows, (7, 10))[0], stock(rows, (7, 10))[0], atol=1e-5)


@pytest.mark.parametrize("shift", [0, 2])
def test_rounded_layer_is_near(shift: int) -> None:
    stock, rows = layer(shift=shift), torch.randn(2, 90, 24)
    module = WindowLayer(stock)
    module.halve()
    with torch.inference_mode():
        result, expected = module(rows, (9, 10))[0], stock(rows, (9, 10))[0]
    assert result.dtype == torch.float32
    assert 0 < float((result - expected).std() / expected.std()) < 0.01


def test_a_small_map_leaves_no_trace() -> None:
    """transformers' layer keeps the smaller window and forgets its shift once it has seen a small map."""
    module = WindowLayer(layer(shift=2))
    rows, small = torch.randn(1, 96, 24), torch.randn(1, 6, 24)
    with torch.inference_mode():
        before, _ = module(rows, (8, 12))
        assert bool(module(small, (2, 3))[0].isfinite().all())
        after, _ = module(rows, (8, 12))
    assert torch.equal(before, after)


def test_layers_are_replaced_at_any_depth() -> None:
    inner = torch.nn.ModuleList([layer(shift=0), layer(shift=2)])
    gather_windows(torch.nn.Sequential(inner))
    assert [type(one) for one in inner] == [WindowLayer, WindowLayer]
