"""Masks for boxes that a person moved or drew, from the run's own mask stage."""

from __future__ import annotations

import threading

from autolabel.errors import DataError
from autolabel.images import read_pixels
from autolabel.plan.devices import cuda_count, mps_there
from autolabel.plan.model import Plan, Stage
from autolabel.registry import Registry
from autolabel.results.decision import Corners
from autolabel.run.stage import make_labeler
from autolabel.strategies import Segmenter
from autolabel.types import Instances, Labels, Prompt, Rle, Sample


class MaskStage:
    """The run's mask stage on one device; its weights are loaded once, when the first mask is asked for."""

    def __init__(self, plan: Plan, stage: Stage, segmenter: Segmenter, *, device: str) -> None:
        self._plan = plan
        self._stage = stage
        self._segmenter = segmenter
        self._device = device
        self._loaded = False
        self._alone = threading.Lock()

    @classmethod
    def of(cls, plan: Plan, *, registry: Registry, device: str | None = None) -> MaskStage | None:
        """Return the last stage that turns boxes into masks, None if the run has none."""
        for stage in reversed(plan.recipe.stages):
            if stage.gives == "masks":
                labeler = make_labeler(stage, registry)
                if isinstance(labeler, Segmenter):
                    return cls(plan, stage, labeler, device=device or _device(plan))
        return None

    def mask(self, labels: Labels, phrase: str, box: Corners) -> Rle | None:
        """Return the mask of a box in a row's image, None if the stage finds none.

        Raises ImageError if the image cannot be read or has changed, MachineError where the stage cannot be loaded.
        """
        recipe = self._plan.recipe
        pixels = read_pixels(labels.image.path, max_pixels=recipe.max_pixels, value_range=recipe.value_range)
        if pixels.shape[:2] != labels.image.size:
            raise DataError(f"{labels.image.id} has another size than when it was labelled")
        given = Instances.build([box], scores=[1.0], labels=[0], rounds=-1)
        sample = Sample(image=labels.image, pixels=pixels, prompt=Prompt((phrase,)), instances=given)
        with self._alone:
            if not self._loaded:
                self._segmenter.load(self._device)
                self._loaded = True
            [found] = self._segmenter.segment([sample])
        mask = found.masks[0] if found.masks else None
        return mask if mask is not None and mask.area() else None


def _device(plan: Plan) -> str:
    """Return the device of the plan's first worker if this machine has it, else the CPU."""
    device = next(iter(plan.execution.workers), "cpu")
    kind, _, number = device.partition(":")
    here = int(number or 0) < cuda_count() if kind == "cuda" else kind == "mps" and mps_there()
    return device if here else "cpu"
