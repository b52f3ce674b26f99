"""Code shared by segmenters of the SAM family: each image is encoded once, its boxes are decoded in chunks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from autolabel.errors import MachineError
from autolabel.strategies import Segmenter
from autolabel.types import Instances, Rle, Sample, Size
from autolabel_labeling.given_boxes import clip_box, given_region, is_crowd
from autolabel_transformers.folder import FolderLabeler, FolderParams

if TYPE_CHECKING:
    import numpy.typing as npt

    from autolabel_transformers.sam_network import SamNetwork


class BoxSegmenterParams(FolderParams):
    """The checkpoint and the settings of the mask decoder."""

    mask: Literal["single", "best"] = "single"
    """The one mask made for clear prompts such as boxes, or the one of three that the network trusts most."""
    boxes_per_pass: Annotated[int, Field(ge=1, le=4096)] = 32
    """Boxes of one image that go through the mask decoder together."""


@dataclass(frozen=True, slots=True, eq=False)
class _BoxesToSegment:
    """A sample's boxes that need a mask."""

    sample: int
    indices: list[int]
    boxes: npt.NDArray[np.float32]
    """(N, 4) x1, y1, x2, y2, cut to the image."""


class BoxSegmenter(FolderLabeler, Segmenter):
    """Turns boxes into masks; the vision tower runs once per image, whatever the number of boxes."""

    params: BoxSegmenterParams

    def __init__(self, params: BoxSegmenterParams) -> None:
        super().__init__(params)
        self._network: SamNetwork | None = None

    @abstractmethod
    def read_network(self, device: str) -> SamNetwork:
        """Return the network of the folder on ``device``; raises WeightsError if it does not fit."""

    def load(self, device: str) -> None:
        """Read the folder onto ``device``; raises WeightsError if it does not fit."""
        self._network = self.read_network(device)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return one key for all images, because the network has one input size."""
        return ()

    def counters(self) -> dict[str, int]:
        """Return counts of images encoded, boxes decoded, and mask decoder passes."""
        return dict(self._network.counts) if self._network else {}

    def segment(self, batch: Sequence[Sample]) -> Sequence[Instances]:
        """Return every box of each sample with its mask, in order; boxes and scores are not changed.

        A box that reaches outside its image is clipped first. The mask is None for a box without area inside, and for a
        crowd (``iscrowd`` among the given fields) without an input region. An image without boxes is not encoded.
        """
        if self._network is None:
            raise MachineError("the segmenter is not loaded: call load(device) first")
        masks: list[list[Rle | None]] = [_crowds(sample) for sample in batch]
        asked = [one for number, sample in enumerate(batch) if (one := _asked(sample, number))]
        seen = self._network.see([batch[one.sample].pixels for one in asked])
        for one, image in zip(asked, seen, strict=True):
            best, chunk = self.params.mask == "best", self.params.boxes_per_pass
            found = self._network.cut(image, one.boxes, best=best, chunk=chunk)
            for index, mask in zip(one.indices, found, strict=True):
                masks[one.sample][index] = Rle.encode(mask)
        return [replace(sample.instances, masks=tuple(own)) for sample, own in zip(batch, masks, strict=True)]


def _crowds(sample: Sample) -> list[Rle | None]:
    """Return the given regions of crowds, None for all other boxes."""
    return [given_region(sample, index) if is_crowd(sample, index) else None for index in range(len(sample.instances))]


def _asked(sample: Sample, number: int) -> _BoxesToSegment | None:
    """Return the boxes that are not crowds and have area inside the image; None if there are none."""
    height, width = sample.pixels.shape[:2]
    inside = {
        index: box
        for index in range(len(sample.instances))
        if not is_crowd(sample, index) and (box := clip_box(sample.instances.boxes[index], (height, width))) is not None
    }
    return _BoxesToSegment(number, list(inside), np.stack(list(inside.values()))) if inside else None
