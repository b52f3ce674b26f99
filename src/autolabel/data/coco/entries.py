"""What a COCO file lists: images, categories, annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=1)]
Extent = Annotated[float, msgspec.Meta(ge=0)]
Crowd = Annotated[int, msgspec.Meta(ge=0, le=1)]
Box = tuple[float, float, Extent, Extent]
EXTRA = "autolabel:extra"


class CocoImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the file, as it is written; other fields are dropped."""

    id: Id
    file_name: str
    width: Side | None = None
    height: Side | None = None


class Category(msgspec.Struct, frozen=True):
    """A category; other fields are dropped."""

    id: Id
    name: str


class Annotation(msgspec.Struct, kw_only=True):
    """One annotation."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: Box
    """``x y width height`` in pixels as written: sides not negative, maybe zero, maybe outside the image."""
    area: float | None = None
    iscrowd: Crowd = 0
    segmentation: Any = None
    """As written: polygons, an RLE, or None."""
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict, name=EXTRA)
    """All fields that COCO does not name."""

    def corners(self) -> npt.NDArray[np.float32]:
        """Return ``x1 y1 x2 y2`` as (4,) float32, added in float32 as MAL's originals do."""
        x, y, width, height = np.asarray(self.bbox, np.float32)
        return np.asarray([x, y, x + width, y + height], np.float32)

    def fields(self) -> dict[str, Any]:
        """Return what is kept to the output: ids, ``iscrowd``, extra fields, and a crowd's ``segmentation``."""
        kept = {"id": self.id, "image_id": self.image_id, "category_id": self.category_id, "iscrowd": self.iscrowd}
        if self.iscrowd and self.segmentation is not None:
            kept["segmentation"] = self.segmentation
        return {**self.extra, **kept}

    def note(self, image: CocoImage) -> str:
        """Return what a person should know of the box, by the image's stated size; empty where all is well."""
        x, y, width, height = self.bbox
        if not width or not height:
            return f"annotation {self.id}: the box {list(self.bbox)} has no area"
        if image.width is None or image.height is None:
            return ""
        if x >= image.width or y >= image.height or x + width <= 0 or y + height <= 0:
            return f"annotation {self.id}: the box {list(self.bbox)} is outside the {image.width}x{image.height} image"
        return ""


_names = frozenset(field.encode_name for field in msgspec.structs.fields(Annotation)) - {EXTRA}
_decoder = msgspec.json.Decoder(list[Annotation])


def join(raws: Sequence[msgspec.Raw]) -> bytes:
    """Return entries as one JSON list."""
    return b"[" + b",".join(raws) + b"]"


def decode(raws: Sequence[msgspec.Raw]) -> list[Annotation]:
    """Read annotations that have no other fields than COCO's."""
    return _decoder.decode(join(raws))


def decode_with_extra(raw: msgspec.Raw) -> Annotation:
    """Read one annotation and keep the fields that COCO does not name."""
    fields = msgspec.json.decode(raw)
    known = {name: value for name, value in fields.items() if name in _names}
    annotation = msgspec.convert(known, Annotation)
    annotation.extra = {name: value for name, value in fields.items() if name not in _names}
    return annotation
