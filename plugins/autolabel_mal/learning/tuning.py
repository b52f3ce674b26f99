"""Fine-tune the mask network on images whose boxes are known."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autolabel.errors import DataError
from autolabel.images import ValueRange
from autolabel.strategies import FineTuning
from autolabel.types import Labels, Rle
from autolabel.types.boxes import clip, iou
from autolabel.weights import locate_checkpoint
from autolabel_mal.learning.crops import CropRecipe, CropSampler, CropShape, source
from autolabel_mal.learning.figures import compare_overlaps, mean_overlaps
from autolabel_mal.learning.loss import MaskLossRecipe
from autolabel_mal.learning.mask_probes import MaskProbe, NetworkMasks, mask_probes, overlaps
from autolabel_mal.learning.picture import BoxedPicture
from autolabel_mal.learning.settings import MaskTrainingSettings
from autolabel_mal.learning.student import Lesson, StudentTeacher
from autolabel_mal.load import load_networks
from autolabel_mal.refine import Field
from autolabel_training.figures import dev_groups
from autolabel_training.loop import DevCheck

if TYPE_CHECKING:
    from autolabel_mal.labeler import Mal

_FIELD = Field(colour_weight=2.0, iterations=20)
"""The mean field of the training labels; more certain than that for refining masks, as training averages labels."""
_RAMP = 50
"""Steps over which the loss by colours rises to its weight."""
_LEAST_SIDE = 8
"""Boxes with a side below this many pixels are not evaluated."""
_SAME = 0.5
"""A region whose bounding box overlaps the annotation's box by less than this IoU is not that object's mask."""


class MaskTraining(StudentTeacher):
    """The state of a training: student and teacher, crops of the images, dev boxes with true masks if there are any."""

    settings: MaskTrainingSettings

    def __init__(self, labeler: Mal, task: FineTuning[MaskTrainingSettings]) -> None:
        settings = task.settings
        network = load_networks(locate_checkpoint(labeler.params.checkpoint), labeler.params)[0]
        self._threshold, self._licence = labeler.params.mask_thres[0], labeler.licence().name
        shape = CropShape(network.sizes.crop, network.sizes.logits)
        cropping = CropRecipe(settings.smallest_side, settings.margins, settings.recolour)
        pictures = [_picture(row, task.value_range) for row in task.train]
        try:
            objects = source(pictures, cropping, share=1.0, turn=settings.turn, solid=settings.solid)
        except ValueError as error:
            raise DataError(
                f"no box has sides of {settings.smallest_side:g} px or more", hint="lower smallest_side"
            ) from error
        loss = MaskLossRecipe(
            decision=self._threshold,
            mil_weight=settings.box_weight,
            crf_weight=settings.colour_weight,
            crf_start=0,
            crf_ramp=_RAMP,
            field=_FIELD,
        )
        sampler = CropSampler([objects], cropping, shape, seed=settings.seed)
        super().__init__(network, Lesson(sampler, loss, settings.frozen_stages), settings, device=task.device)
        dev = [_with_truth(row, task.value_range) for row in task.dev]
        self._dev = [found for found in dev if found[0]]
        self._groups = [group for group, found in zip(dev_groups(task), dev, strict=True) if found[0]]

    def check_dev(self) -> DevCheck | None:
        """Evaluate the teacher's mean IoU with true masks; None if there are none."""
        return self.check(self._judge())

    def check(self, judged: list[dict[str, Any]]) -> DevCheck | None:
        """Return the mean IoU of what ``judged`` returned; None if there are no true masks."""
        if not judged:
            return None
        values = mean_overlaps(judged)
        return DevCheck(values["mean"], {"iou": values})

    def judged(self, weights: dict[str, Tensor]) -> list[dict[str, Any]]:
        """Return the IoU of each mask that these weights make with the true one: of each dev image, by class."""
        kept = {name: value.clone() for name, value in self.teacher.state_dict().items()}
        self.teacher.load_state_dict(weights)
        try:
            return self._judge()
        finally:
            self.teacher.load_state_dict(kept)

    def compare(self, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any]:
        """Return mean IoU before and after, and the gain."""
        return compare_overlaps(before, after, groups=self._groups)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a checkpoint folder with these weights of the teacher, under the licence of the initial weights."""
        self.export_as(weights, folder, licence=self._licence)

    @torch.no_grad()
    def _judge(self) -> list[dict[str, Any]]:
        make = NetworkMasks(self.teacher, threshold=self._threshold)
        found: list[dict[str, Any]] = []
        for probes, names in self._dev:
            by_class = defaultdict(list)
            for name, value in zip(names, overlaps(probes, make(probes)).tolist(), strict=True):
                by_class[name].append(value)
            found.append(dict(by_class))
        return found


def _picture(row: Labels, value_range: ValueRange) -> BoxedPicture:
    """Return an image with its boxes; no mask is looked at."""
    return BoxedPicture(row.image.path, row.instances.boxes, value_range=value_range)


def _with_truth(row: Labels, value_range: ValueRange) -> tuple[list[MaskProbe], list[str]]:
    """Return the boxes of an image whose true masks are known, with their classes."""
    found = row.instances
    boxes, masks, names = [], [], []
    for number, mask in enumerate(found.masks or ()):
        if mask is not None and _box_iou(mask, found.boxes[number]) >= _SAME:
            boxes.append(found.boxes[number])
            masks.append(mask)
            names.append(row.prompt.phrases[found.labels[number]])
    if not boxes:
        return [], []
    picture = BoxedPicture(row.image.path, np.stack(boxes), tuple(masks), value_range)
    probes = mask_probes([picture], smallest_side=_LEAST_SIDE)
    return probes, [names[probe.index] for probe in probes]


def _box_iou(mask: Rle, box: Any) -> float:
    """Return the IoU of a mask's bounds with the pixels that a box touches."""
    x0, y0, x1, y1 = box
    touched = clip(np.array([[np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1)]]), mask.size)
    return float(iou(np.array([mask.bounds()], np.float32), touched)[0, 0])
