"""The outcome of one image (and caption): labelled, empty, or failed with a reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from autolabel.types.boxes import clip
from autolabel.types.image import Image
from autolabel.types.instances import Instances
from autolabel.types.prompt import Prompt

State = Literal["labelled", "empty", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why an image failed: a stable word for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """A row once it is labelled, as arrays in memory; ``results.record.Row`` is its line on disk.

    Every input image ends in exactly one state.
    """

    image: Image
    prompt: Prompt
    instances: Instances
    """Empty if ``reason`` is set."""
    caption_index: int = 0
    """Which of the image's captions this row answers; 0 if there is one."""
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    """What a person should know of this image, such as a given box without area."""

    def inside(self) -> Labels:
        """Return the row with its boxes clipped to the image, without boxes outside.

        A row with a non-finite number is returned unchanged, because clipping would hide the error.
        """
        found = self.instances
        if not np.isfinite(found.boxes).all():
            return self
        cut = clip(found.boxes, self.image.size)
        thousandths = np.round(cut.astype(np.float64), 3)  # rounded as in files
        outside = (thousandths[:, :2] >= thousandths[:, 2:]).any(axis=1)
        if not outside.any() and np.array_equal(cut, found.boxes):
            return self
        return replace(self, instances=replace(found, boxes=cut).take(~outside))

    @property
    def state(self) -> State:
        """``failed`` where there is a reason, else ``labelled`` or ``empty``."""
        if self.reason is not None:
            return "failed"
        return "labelled" if len(self.instances) else "empty"
