"""Convert labels to Label Studio regions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autolabel.serve.label_studio.tags import Control, TaggedPicture
from autolabel.types import Labels, Rle
from autolabel.types.label_studio import pack, percent, percent_ring, rings_of

_Value = dict[str, Any]


def regions(labels: Labels, picture: TaggedPicture) -> list[dict[str, Any]]:
    """Return the regions of an image, in the shapes of the labeling config.

    Boxes need a rectangle tag; masks a brush tag, or without it a polygon tag. Ids of further regions of an object are
    prefixed with its number, so that ``apply-review`` joins them to one object.
    """
    found, (height, width) = labels.instances, labels.image.size
    about = {"to_name": picture.name, "original_width": width, "original_height": height, "image_rotation": 0}
    made: list[dict[str, Any]] = []
    for index in range(len(found)):
        phrase = labels.prompt.phrases[found.labels[index]]
        mask = found.masks[index] if found.masks else None
        score = round(float(found.scores[index]), 6)
        drawn = list(_shapes(labels, index, phrase, mask, picture))
        for number, (control, value) in enumerate(drawn):
            name = f"{index + 1}-{number}" if number else f"{index + 1}"
            made += [{"id": name, "score": score, **about, **one} for one in _results(control, phrase, value)]
    return made


def _shapes(
    labels: Labels, index: int, phrase: str, mask: Rle | None, picture: TaggedPicture
) -> Iterator[tuple[Control, _Value]]:
    """Yield the shapes of one object, with their tags."""
    size = labels.image.size
    by_shape = {one.shape: one for one in reversed(picture.controls) if one.label_of(phrase) is not None}
    if control := by_shape.get("rectangle"):
        yield control, {**percent(labels.instances.boxes[index].tolist(), size), "rotation": 0}
    if mask is None or mask.is_empty():
        return
    if control := by_shape.get("brush"):
        yield control, {"format": "rle", "rle": pack(mask.decode())}
    elif control := by_shape.get("polygon"):
        for ring in rings_of(mask.decode()):
            yield control, {"points": percent_ring(ring, size), "closed": True}


def _results(control: Control, phrase: str, value: _Value) -> Iterator[dict[str, Any]]:
    """Yield the results of a region: one, or separate ones for shape and labels if these have different tags."""
    label = control.label_of(phrase)
    if control.drawn_by == control.name:
        kind = f"{control.shape}labels"
        yield {"from_name": control.name, "type": kind, "value": {**value, kind: [label]}}
        return
    yield {"from_name": control.drawn_by, "type": control.shape, "value": value}
    yield {"from_name": control.name, "type": "labels", "value": {**value, "labels": [label]}}
