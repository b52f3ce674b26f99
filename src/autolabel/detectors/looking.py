"""A detector that is applied to an image in several looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.errors import ImageError
from autolabel.strategies import Detector, Look, Requests, Strategy
from autolabel.types import Image, Instances, Prompt, Rle, Sample, Size
from autolabel.weights import Licence


@dataclass(slots=True, eq=False)
class _SeenInLooks:
    """One image, with the detector's prepared item for each look."""

    sample: Sample
    preprocessed: dict[str | None, Any] = field(default_factory=dict)
    prepared: dict[str | None, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _LookQuery:
    """A query about one image in one look, and the index of its answer."""

    place: int
    seen: _SeenInLooks
    prompt: Prompt
    key: tuple[int, ...]


class Looking(Detector):
    """Runs another detector in the look that the prompt names, and maps the result back.

    A prompt without a look uses the original image. Prepared items are kept for each look until the image is done.
    """

    name = "looking"

    def __init__(self, detector: Detector, looks: Mapping[str, Look], *, ahead: int) -> None:
        """Use looks by name; the first ``ahead`` are preprocessed in decode threads, others on demand."""
        super().__init__(Strategy.Params())
        self.detector = detector
        self.looks = dict(looks)
        self.ahead = tuple(looks)[:ahead]
        self.gives = detector.gives

    def load(self, device: str) -> None:
        """Load the detector."""
        self.detector.load(device)

    def batch_key(self, size: Size) -> tuple[int, ...]:
        """Return the concatenated keys of an image in all looks."""
        return tuple(chain.from_iterable(self.detector.batch_key(look.shape(size)) for look in self.looks.values()))

    def files(self) -> Sequence[Path]:
        """Return the detector's files."""
        return self.detector.files()

    def licence(self) -> Licence:
        """Return the licence of the detector's weights."""
        return self.detector.licence()

    def preprocess(self, sample: Sample) -> _SeenInLooks:
        """Preprocess a sample in the first looks."""
        seen = _SeenInLooks(sample)
        for name in self.ahead:
            seen.preprocessed[name] = self.detector.preprocess(self.shown(sample, name))
        return seen

    def shown(self, sample: Sample, name: str | None) -> Sample:
        """Apply a look to a sample; raises ValueError if the result differs from the look's ``shape``."""
        if name is None:
            return sample
        look, size = self.looks[name], sample.image.size
        pixels = np.ascontiguousarray(look.apply(sample.pixels))
        if pixels.shape != (*look.shape(size), 3) or pixels.dtype != np.uint8:
            raise ValueError(f"look {name!r} gives {pixels.shape} {pixels.dtype}, not {(*look.shape(size), 3)} uint8")
        image = Image(id=sample.image.id, path=sample.image.path, size=look.shape(size))
        return Sample(image=image, pixels=pixels, prompt=sample.prompt, instances=Instances.empty())

    def prepare(self, batch: Sequence[_SeenInLooks]) -> Sequence[_SeenInLooks]:
        """Return the items unchanged; a look is prepared on first use, because it may never be used."""
        return batch

    def detect(
        self, prepared: Sequence[_SeenInLooks], prompts: Sequence[Prompt], floor: float
    ) -> Sequence[Instances | ImageError]:
        """Return the detections in each item's look, in pixels of the original image; one batch per batch key."""
        answers: list[Instances | ImageError] = [Instances.empty()] * len(prepared)
        asked = [self.question(*each) for each in zip(range(len(prepared)), prepared, prompts, strict=True)]
        for key in dict.fromkeys(one.key for one in asked):
            alike = [one for one in asked if one.key == key]
            self.prepare_looks(alike)
            items = [one.seen.prepared[one.prompt.look] for one in alike]
            found = self.detector.detect(items, [replace(one.prompt, look=None) for one in alike], floor)
            for one, answer in zip(alike, found, strict=True):
                answers[one.place] = answer if isinstance(answer, ImageError) else self.restored(answer, one)
        return answers

    def question(self, place: int, seen: _SeenInLooks, prompt: Prompt) -> _LookQuery:
        """Return a query with the batch key of the transformed image."""
        size = seen.sample.image.size
        shape = size if prompt.look is None else self.looks[prompt.look].shape(size)
        return _LookQuery(place, seen, prompt, self.detector.batch_key(shape))

    def prepare_looks(self, asked: Sequence[_LookQuery]) -> None:
        """Prepare, as one batch, the looks that are used for the first time."""
        new = [one for one in asked if one.prompt.look not in one.seen.prepared]
        for one in new:
            if one.prompt.look not in one.seen.preprocessed:
                shown = self.shown(one.seen.sample, one.prompt.look)
                one.seen.preprocessed[one.prompt.look] = self.detector.preprocess(shown)
        items = self.detector.prepare([one.seen.preprocessed[one.prompt.look] for one in new])
        for one, item in zip(new, items, strict=True):
            one.seen.prepared[one.prompt.look] = item
            del one.seen.preprocessed[one.prompt.look]

    def restored(self, found: Instances, one: _LookQuery) -> Instances:
        """Map an answer back to the original image."""
        if one.prompt.look is None:
            return found
        look, size = self.looks[one.prompt.look], one.seen.sample.image.size
        masks = None if found.masks is None else tuple(_restored_mask(mask, look, size) for mask in found.masks)
        return replace(found, boxes=look.restore_boxes(found.boxes, size).astype(np.float32), masks=masks)

    def passes(self, prompt: Prompt) -> int:
        """Return the forward passes of one look; the rounds decide the number of looks."""
        return self.detector.passes(replace(prompt, look=None))

    def sends_to(self) -> Sequence[str]:
        """Return where the detector sends images."""
        return self.detector.sends_to()

    def requests(self, size: Size, asked: Prompt) -> Requests:
        """Return the endpoint requests of one look, the most expensive one."""
        shapes = [look.shape(size) for look in self.looks.values()] or [size]
        largest = max(shapes, key=lambda shape: shape[0] * shape[1])
        return self.detector.requests(largest, replace(asked, look=None))

    def counters(self) -> dict[str, int]:
        """Return the detector's counters."""
        return self.detector.counters()


def _restored_mask(mask: Rle | None, look: Look, size: Size) -> Rle | None:
    """Map a mask of a look back to the original image of ``size``."""
    return None if mask is None else Rle.encode(look.restore_mask(mask.decode(), size))
