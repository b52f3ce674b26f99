"""The benchmark of operations counts what products of matrices compute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from autolabel_labeling.half import HalfLinear
from benchmarks.operations import Call, Clocks, quickest, summed

ROWS, HEADS = torch.ones(2, 5, 6), torch.ones(1, 2, 7, 4)
IMAGE, FILTERS = torch.ones(1, 3, 8, 8), torch.ones(5, 3, 2, 2)
PRODUCTS: dict[str, tuple[Callable[[], Tensor], int]] = {
    "linear": (lambda: functional.linear(ROWS, torch.ones(4, 6)), 2 * 10 * 6 * 4),
    "matmul": (lambda: torch.matmul(ROWS, torch.ones(6, 4)), 2 * 10 * 6 * 4),
    "bmm": (lambda: torch.bmm(ROWS, torch.ones(2, 6, 4)), 2 * 10 * 6 * 4),
    "baddbmm": (lambda: torch.baddbmm(torch.ones(1, 1, 4), ROWS, torch.ones(2, 6, 4)), 2 * 10 * 6 * 4),
    "attention": (lambda: functional.scaled_dot_product_attention(HEADS, HEADS, HEADS), 2 * 2 * 2 * 7 * 7 * 4),
    "convolution": (lambda: functional.conv2d(IMAGE, FILTERS, stride=2), 2 * 16 * 12 * 5),
    "addition": (lambda: ROWS + ROWS, 0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_operations_of_a_product_are_counted(name: str) -> None:
    work, expected = PRODUCTS[name]
    with torch.inference_mode(), Clocks() as clocks:
        work()
    assert sum(call.flops for call in clocks.calls) == expected
    assert len(clocks.calls) == len(clocks.seconds) > 0


def test_products_are_grouped_by_the_type_that_they_multiply() -> None:
    layer, rows = HalfLinear(nn.Linear(6, 4)), torch.ones(10, 6)
    with torch.inference_mode():
        _, timed = quickest(lambda: layer(rows), passes=2)
    flops = {name: flops for name, _, flops, _ in summed(timed, lambda call: call.group)}
    assert flops["products in bfloat16"] == 2 * 10 * 6 * 4
    assert "products in float32" not in flops


def test_calls_are_summed_and_the_longest_come_first() -> None:
    add, linear = Call("add", (), "float32", 0.0), Call("linear", (), "float32", 8.0)
    assert summed([(add, 1.0), (linear, 2.0), (linear, 3.0)], lambda call: call.name) == [
        ("linear", 5.0, 16.0, 2),
        ("add", 1.0, 0.0, 1),
    ]
