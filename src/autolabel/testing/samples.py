"""Example images, with their boxes, for the checks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle, Sample, Size

_PHRASES = ("red square", "blue square")
AWKWARD = ("=1+1", 'comma, "quote"', "naïve <b>&amp;</b>", "a/b\\c")
"""Phrases that an exporter must be able to carry."""


def example_sample(index: int = 0, *, size: Size = (48, 64), phrases: tuple[str, ...] = _PHRASES) -> Sample:
    """Return an image of noise with a red square, left, and a blue one, right, both given as boxes."""
    height, width = size
    pixels = np.random.default_rng(index).integers(96, 160, (height, width, 3), dtype=np.uint8)
    side = min(height, width) // 3
    left, right = (width // 8, height // 4), (width // 2 + 2, height // 3)
    pixels[left[1] : left[1] + side, left[0] : left[0] + side] = (255, 0, 0)
    pixels[right[1] : right[1] + side, right[0] : right[0] + side] = (0, 0, 255)
    boxes = [[x, y, x + side, y + side] for x, y in (left, right)]
    labels = np.arange(2) % max(1, len(phrases))
    return Sample(
        image=Image(id=f"example/{index}.png", path=f"example/{index}.png", size=size),
        pixels=pixels,
        prompt=Prompt(phrases),
        instances=Instances.build(boxes, scores=[0.9, 0.6], labels=labels, rounds=[0, 1]),
    )


def example_samples() -> tuple[Sample, ...]:
    """Return four images: two of one size, two of others, one of them without boxes."""
    first, second, tall, wide = (
        example_sample(i, size=size) for i, size in enumerate([(48, 64), (48, 64), (80, 40), (33, 97)])
    )
    bare = Sample(image=wide.image, pixels=wide.pixels, prompt=wide.prompt, instances=Instances.empty())
    return first, second, tall, bare


def example_labels() -> tuple[Labels, ...]:
    """Return rows in every state: labelled with masks and given fields, empty, failed; a second caption; odd texts."""
    height, width = size = (48, 64)
    mask: npt.NDArray[np.bool_] = np.zeros(size, np.bool_)
    mask[10:20, 5:25] = True
    boxes = np.array([[5, 10, 25, 20], [0, 0, width, height], [1.25, 2.5, 3.75, 4.125], [30, 30, 31, 31]])
    found = Instances.build(
        boxes,
        scores=[0.987654, 0.5, 1.0, 0.0],
        labels=[0, 1, 2, 3],
        rounds=[0, 1, 2, -1],
        masks=[Rle.encode(mask)] * 4,
        given=[{}, {}, {}, {"id": 7, "category_id": 3}],
    )
    prompt = Prompt(AWKWARD, caption="=1+1, in a naïve place")
    images = [
        Image(id=name, path=name, size=size) for name in ("a/one.jpg", "a/two ünd.png", "b/-three.jpg", "four.jpg")
    ]
    return (
        Labels(image=images[0], prompt=prompt, instances=found),
        Labels(image=images[0], prompt=prompt, instances=found.take([1, 2]), caption_index=1),
        Labels(image=images[1], prompt=prompt, instances=found.take([3]), notes=("a note",)),
        Labels(image=images[2], prompt=prompt, instances=Instances.empty()),
        Labels(
            image=images[3],
            prompt=prompt,
            instances=Instances.empty(),
            reason=Reason(code="corrupt_image", message="four.jpg: cannot be decoded"),
        ),
    )
