"""Boxes whose true masks are known, for judging masks made from the boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from autolabel.types import Size
from autolabel_labeling.given_boxes import clip_box
from autolabel_mal.crop import CropRegion, crop_image, inside, region
from autolabel_mal.ensemble import fastest_encode
from autolabel_mal.learning.picture import BoxedPicture
from autolabel_mal.network import MalNetwork
from autolabel_mal.refine import Field, refine

Mask = NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)
_TEST_MARGINS = (0.6, 0.6)
"""TAO's and the labeler's default."""
_BATCH = 16


@dataclass(frozen=True, eq=False)
class MaskProbe:
    """One box of a picture; its masks are of the box with margins, cut to the image, and zero outside the box."""

    picture: BoxedPicture
    index: int
    at: CropRegion
    size: Size
    """(height, width) of the image."""

    @cached_property
    def reach(self) -> Mask:
        """The pixels (h, w) that a mask may have: the box, including the last row and column that it touches."""
        mask = np.zeros((self.at.height, self.at.width), bool)
        mask[slice(*self.at.rows), slice(*self.at.columns)] = True
        return mask[inside(self.at, self.size)]

    def centres(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return where the centres of the window's rows and columns lie in the box: -1 and 1 are its sides."""
        x0, y0, x1, y1 = (float(value) for value in self.picture.boxes[self.index])
        height, width = self.reach.shape
        rows = np.arange(height) + max(0, self.at.top) + 0.5
        columns = np.arange(width) + max(0, self.at.left) + 0.5
        return (2 * rows - y0 - y1) / (y1 - y0), (2 * columns - x0 - x1) / (x1 - x0)

    @cached_property
    def truth(self) -> Mask:
        """The part of the object's true mask that lies in the box."""
        whole = self.picture.masks[self.index].decode()
        mask: Mask = self.cut(whole) & self.reach
        return mask

    def cut(self, whole: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Return the window of an array (height, width, ...) of the whole image."""
        top, left = max(0, self.at.top), max(0, self.at.left)
        return whole[top : self.at.top + self.at.height, left : self.at.left + self.at.width]


MaskMaker = Callable[[Sequence[MaskProbe]], list[Mask]]
"""Returns one mask (h, w) per probe."""


def mask_probes(pictures: Sequence[BoxedPicture], *, smallest_side: float) -> list[MaskProbe]:
    """Return a probe for every box with sides of at least `smallest_side` pixels."""
    return [probe for picture in pictures for probe in _of_picture(picture, smallest_side)]


def _of_picture(picture: BoxedPicture, smallest_side: float) -> Iterator[MaskProbe]:
    height, width = picture.pixels().shape[:2]
    for index, box in enumerate(picture.boxes):
        kept = clip_box(box, (height, width))
        if kept is not None and min(box[2] - box[0], box[3] - box[1]) >= smallest_side:
            yield MaskProbe(picture, index, region(kept, (height, width), _TEST_MARGINS), (height, width))


class NetworkMasks:
    """Makes masks as the labeler does: crop, network, refinement by a mean field if one is given, paste, threshold."""

    def __init__(self, network: MalNetwork, *, threshold: float, field: Field | None = None) -> None:
        self._network, self._threshold, self._field = network, threshold, field

    @torch.no_grad()
    def __call__(self, asked: Sequence[MaskProbe]) -> list[Mask]:
        """Return the masks of probes, in batches."""
        side = self._network.sizes.crop
        found: list[Mask] = []
        for start in range(0, len(asked), _BATCH):
            part = asked[start : start + _BATCH]
            crops = torch.from_numpy(np.stack([crop_image(probe.picture.pixels(), probe.at, side) for probe in part]))
            groups, regions = torch.tensor([probe.at.group for probe in part]), [probe.at for probe in part]
            logits = self._network(self._network.normalise(crops), groups)
            if self._field:
                logits = refine(logits, crops, regions, [self._threshold] * len(part), field=self._field)
            found += [self._mask(probe, one) for probe, one in zip(part, logits.cpu().numpy(), strict=True)]
        return found

    def _mask(self, probe: MaskProbe, logits: NDArray[np.float32]) -> Mask:
        """Return the mask of all that the probe's crop shows of its image."""
        side = self._network.sizes.crop
        mask = fastest_encode()(logits, probe.at, probe.size, side=side, threshold=self._threshold).decode()
        rows, columns = inside(probe.at, probe.size)
        top, left = probe.at.top, probe.at.left
        return mask[rows.start + top : rows.stop + top, columns.start + left : columns.stop + left]


def overlaps(asked: Sequence[MaskProbe], masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Return the IoU (n,) inside the box of each mask with the truth; 1 where both are empty."""
    return np.array([iou(mask & probe.reach, probe.truth) for probe, mask in zip(asked, masks, strict=True)])


def filled(asked: Sequence[MaskProbe], masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Return the part (n,) of each box that its mask fills."""
    pairs = zip(asked, masks, strict=True)
    return np.array([(mask & probe.reach).sum() / max(1, probe.reach.sum()) for probe, mask in pairs])


def iou(first: Mask, second: Mask) -> float:
    """Return the intersection over union of two masks; 1 where both are empty."""
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
