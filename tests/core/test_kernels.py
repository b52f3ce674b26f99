"""Loops are compiled wherever the package lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autolabel.kernels import compiled

LOOP = """
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result
"""


def written(values: Any) -> Any:
    """A loop in a file beside which its machine code can be kept."""
    result = 0.0
    for value in values:
        result += value
    return result


def made() -> Any:
    """The same without a file, which numba cannot keep anything of."""
    names: dict[str, Any] = {}
    exec(LOOP, names)
    return names["total"]


@pytest.mark.parametrize("function", [written, made()])
def test_a_loop_is_compiled_for_its_signature_alone(function: Any) -> None:
    total = compiled("float64(float64[::1])")(function)
    assert total(np.array([1.0, 2.5])) == 3.5
    with pytest.raises(TypeError, match="No matching definition"):
        total(np.array([[1.0, 2.5]]))
