"""The order of precedence among boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from autolabel.types import Instances

if TYPE_CHECKING:
    import numpy.typing as npt

Index: TypeAlias = "npt.NDArray[np.int64]"


def precedence(instances: Instances) -> Index:
    """Return the indices (N,) of ``instances``, best first: by falling score, then by round, then by position."""
    return np.lexsort((instances.rounds, -instances.scores)).astype(np.int64)
