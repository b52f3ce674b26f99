"""A strategy package that misbehaves on purpose: images decide how, by their names."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Detector, Labeler, Segmenter
from autolabel.types import Instances, Prompt, Rle, Sample


class OutOfMemoryError(RuntimeError):
    """Looks like torch's."""


class Hazard(Detector):
    """Finds one box in every image; ``poison`` kills the process, ``raise`` raises, ``slow`` sleeps
    (unless the variable AUTOLABEL_HAZARDS is ``quick``)."""

    name = "hazard"

    class Params(Detector.Params):
        """Batches larger than ``fits`` run out of memory."""

        fits: int = 1000

    def load(self, device: str) -> None:
        """Nothing to load."""

    def prepare(self, batch: Sequence[Sample]) -> Sequence[Sample]:
        """Hand samples on."""
        assert isinstance(self.params, Hazard.Params)
        if len(batch) > self.params.fits:
            raise OutOfMemoryError("CUDA out of memory")
        return batch

    def detect(self, prepared: Sequence[Sample], prompts: Sequence[Prompt], floor: float) -> Sequence[Instances]:
        """Do what the images' names say."""
        assert isinstance(self.params, Hazard.Params)
        if len(prepared) > self.params.fits:
            raise OutOfMemoryError("CUDA out of memory")
        for sample in prepared:
            if "poison" in sample.image.id:
                os._exit(7)
            if "raise" in sample.image.id:
                raise ValueError("cannot look at this")
            if "slow" in sample.image.id and os.environ.get("AUTOLABEL_HAZARDS") != "quick":
                time.sleep(0.2)
        return [Instances.build([[1, 1, 5, 5]], scores=[0.9], labels=[0]) for _ in prepared]


class Filled(Segmenter):
    """Gives every box a mask that fills it."""

    name = "filled"

    def load(self, device: str) -> None:
        """Nothing to load."""

    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        """Fill the boxes."""
        return [replace(sample.instances, masks=tuple(fill(sample))) for sample in batch]


def fill(sample: Sample) -> Iterator[Rle]:
    """Yield a mask a box."""
    for x1, y1, x2, y2 in sample.instances.boxes.round().astype(int).tolist():
        yield Rle.from_crop(np.ones((y2 - y1, x2 - x1), bool), left=x1, top=y1, size=sample.image.size)


@hookimpl
def autolabel_labelers() -> list[type[Labeler]]:
    """Offer the hazard, and what fills boxes."""
    return [Hazard, Filled]
