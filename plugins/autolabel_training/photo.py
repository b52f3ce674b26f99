"""A photo with named boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainingPhoto:
    """One photo: its path, boxes (n, 4) as x0, y0, x1, y1 in pixels, and one name per box."""

    path: Path
    boxes: NDArray[np.float32]
    names: tuple[str, ...]
