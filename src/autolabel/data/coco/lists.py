"""Read and check the images and the categories of a COCO file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from autolabel.data.coco.entries import Category, CocoImage
from autolabel.data.coco.faults import Faults
from autolabel.data.coco.repair import as_id, as_side, plain_json, shown_value

_strict = msgspec.json.Decoder(CocoImage)


def read_images(raws: Sequence[msgspec.Raw], faults: Faults) -> list[CocoImage]:
    """Read the images: distinct ids, a name each. Images without a name are left out; invalid sizes are ignored."""
    images: list[CocoImage] = []
    first: dict[int, int] = {}
    for number, raw in enumerate(raws):
        try:
            image = _image(raw, faults, number)
            earlier = first.setdefault(image.id, number)
            if earlier != number:
                raise ValueError(f"/id: {image.id} is taken by /images/{earlier}")
            images.append(image)
        except ValueError as error:
            _skip(faults, f"/images/{number}", error)
    return images


def _image(raw: msgspec.Raw, faults: Faults, number: int) -> CocoImage:
    try:
        image = _strict.decode(raw)
        if image.file_name.strip() and (image.width is None) == (image.height is None):
            return msgspec.structs.replace(image, raw=raw)
    except msgspec.DecodeError:
        pass
    fields, remarks = plain_json(raw)
    image_id, name = _named(fields, "file_name")
    for remark in remarks:
        _remark(faults, f"/images/{number}", remark)
    sides = {side: as_side(fields.get(side)) for side in ("width", "height")}
    if None in sides.values():
        for side in sides:
            if sides[side] is None and fields.get(side) is not None:
                faults.remark(f"/images/{number}/{side}", f"no size is stated: {side} is {shown_value(fields[side])}")
        sides = dict.fromkeys(sides)
    return CocoImage(id=image_id, file_name=name, raw=raw, **sides)


def _named(fields: Any, key: str) -> tuple[int, str]:
    if not isinstance(fields, dict):
        raise ValueError(f": must be an object, got {shown_value(fields)}")
    for name in ("id", key):
        if name not in fields:
            raise ValueError(f": {name!r} is missing")
    if (number := as_id(fields["id"])) is None:
        raise ValueError(f"/id: must be an integer, got {shown_value(fields['id'])}")
    if not isinstance(fields[key], str):
        raise ValueError(f"/{key}: must be text, got {shown_value(fields[key])}")
    if not fields[key].strip():
        raise ValueError(f"/{key}: is empty")
    return number, fields[key]


def read_categories(raws: Sequence[msgspec.Raw], faults: Faults) -> dict[int, str]:
    """Read the categories, id to name in the file's order: distinct ids, no empty names."""
    categories: dict[int, str] = {}
    first: dict[int, int] = {}
    for place, raw in enumerate(raws):
        try:
            fields, _ = plain_json(raw)
            one = Category(*_named(fields, "name"))
            earlier = first.setdefault(one.id, place)
            if earlier != place:
                raise ValueError(f"/id: {one.id} is taken by /categories/{earlier}")
            categories[one.id] = one.name
        except ValueError as error:
            _skip(faults, f"/categories/{place}", error)
    return categories


def _skip(faults: Faults, place: str, error: ValueError) -> None:
    pointer, _, message = str(error).partition(": ")
    faults.skip(f"{place}{pointer}", message)


def _remark(faults: Faults, place: str, remark: str) -> None:
    pointer, _, message = remark.partition(": ")
    faults.remark(f"{place}{pointer}", message)
