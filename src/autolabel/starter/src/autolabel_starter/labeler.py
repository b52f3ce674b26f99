"""A labeler: from phrases to boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from autolabel.hookspecs import hookimpl
from autolabel.strategies import Detector, Labeler
from autolabel.types import Instances, Prompt, Sample
from pydantic import Field

CHANNELS = ("red", "green", "blue")
Coloured = npt.NDArray[np.bool_]


class StarterLabeler(Detector):
    """Puts one box round all that is red, green or blue, where a phrase has that word; scores it by how full it is."""

    name = "starter"

    class Params(Detector.Params):
        """The parameters in a spec, beside ``type``; a wrong value is reported at its line."""

        contrast: int = Field(default=64, ge=1, le=255, description="How far a channel must stand above the others.")

    params: Params

    def load(self, device: str) -> None:
        """Read the weights onto ``device``, once; this is the place to ``import torch``."""

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Coloured]:
        """Do, once an image, what all rounds share; for a real model, the vision backbone."""
        return [coloured(sample.pixels, self.params.contrast) for sample in batch]

    def detect(self, prepared: Sequence[Coloured], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        """Return every candidate that scores above ``floor``; labels index the phrases of the item's prompt."""
        return [candidates(item, prompt, floor) for item, prompt in zip(prepared, prompts, strict=True)]


def coloured(pixels: npt.NDArray[np.uint8], contrast: int) -> Coloured:
    """Return (3, H, W): where each channel of the (H, W, 3) pixels stands out."""
    channels = pixels.astype(np.int16).transpose(2, 0, 1)
    others = np.stack([np.delete(channels, index, axis=0).max(axis=0) for index in range(3)])
    return np.asarray(channels - others >= contrast)


def candidates(item: Coloured, prompt: Prompt, floor: float) -> Instances:
    """Return a box ``x1 y1 x2 y2``, half-open pixels, for every phrase whose colour is there."""
    boxes, scores, labels = [], [], []
    for label, phrase in enumerate(prompt.phrases):
        for channel in (index for index, word in enumerate(CHANNELS) if word in phrase.split()):
            rows, columns = np.nonzero(item[channel])
            if not len(rows):
                continue
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            score = len(rows) / ((box[2] - box[0]) * (box[3] - box[1]))
            if score > floor:
                boxes.append(box)
                scores.append(score)
                labels.append(label)
    return Instances.build(boxes, scores=scores, labels=labels)


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the labeler."""
    return [StarterLabeler]
