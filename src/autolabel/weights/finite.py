"""Refuse NaN and infinite weights, which would silently give empty or meaningless results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


def refuse_not_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise WeightsError naming the first tensor with NaN or infinity; integer tensors are skipped."""
    for name, tensor in state.items():
        if not tensor.dtype.is_floating_point or math.isfinite(_total(tensor)):
            continue
        finite = tensor.float().isfinite()
        if not bool(finite.all()):
            count = tensor.numel() - int(finite.sum())
            raise WeightsError(
                f"{path}: not finite: {count:,} of the {tensor.numel():,} numbers of the tensor {name!r} are NaN or"
                " infinite",
                hint="download it again, or take a checkpoint from before training broke",
            )


def _total(tensor: Tensor) -> float:
    """Return the sum in higher precision, which is finite only if all numbers are; half precision would overflow."""
    return float(tensor.double().sum() if tensor.itemsize < 4 else tensor.sum())
