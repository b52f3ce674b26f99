"""The order of precedence among boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autolabel.types import Instances

Index = npt.NDArray[np.int64]


def precedence(instances: Instances) -> Index:
    """Return the indices (N,) of ``instances``, best first: by falling score, then by round, then by position."""
    return np.lexsort((instances.rounds, -instances.scores)).astype(np.int64)
