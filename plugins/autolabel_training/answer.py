"""Select the boxes of a picture that match a caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from autolabel_training.loss import Target


class _NamedBoxes(Protocol):
    """A picture with boxes (n, 4) x0, y0, x1, y1 in 0..1 and one name per box."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """The boxes."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""


def answer(picture: _NamedBoxes, phrases: Sequence[str]) -> Target:
    """Return the boxes of the picture whose name is in the caption; may be empty."""
    asked = [number for number, name in enumerate(picture.names) if name in phrases]
    corners = torch.from_numpy(picture.boxes[asked].reshape(-1, 4))
    boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    indices = [phrases.index(picture.names[number]) for number in asked]
    return Target(torch.tensor(indices, dtype=torch.long), boxes)
