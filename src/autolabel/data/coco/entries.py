"""The entries of a COCO file: images, categories, annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.data.coco.repair import carried, plain_json, repaired, shown_value

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Side = Annotated[int, msgspec.Meta(ge=1)]
_Extent = Annotated[float, msgspec.Meta(ge=0)]
Crowd = Annotated[int, msgspec.Meta(ge=0, le=1)]
Box = tuple[float, float, _Extent, _Extent]
_EXTRA = "autolabel:extra"
_FARTHEST = 1e9
"""Pixels: a box farther out is cut there before its corners become float32."""


class CocoImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of the file; a size that is not a positive integer is ignored."""

    id: Id
    file_name: str
    width: Side | None = None
    height: Side | None = None
    raw: Any = msgspec.field(default=b"", name="autolabel:raw")
    """The entry's text."""

    @property
    def stated(self) -> tuple[int, int]:
        """The stated (height, width), 0 if missing."""
        return self.height or 0, self.width or 0

    def fields(self) -> dict[str, Any]:
        """Return the image's fields besides name and size; values that JSON cannot represent are null."""
        fields, _ = plain_json(self.raw or b"{}")
        return {**{name: value for name, value in fields.items() if name not in _NAMED}, "id": self.id}


_NAMED = frozenset({"file_name", "width", "height"})


class Category(msgspec.Struct, frozen=True):
    """A category; other fields are kept in ``CocoBoxes.rest``."""

    id: Id
    name: str


class Annotation(msgspec.Struct, kw_only=True):
    """One annotation."""

    id: Id | None = None
    image_id: Id
    category_id: Id
    bbox: Box
    """``x y width height`` in pixels as written: sides not negative, maybe zero, maybe outside the image."""
    area: float | None = None
    iscrowd: Crowd = 0
    segmentation: Any = None
    """The segmentation as in the file: polygons, an RLE, or None."""
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict, name=_EXTRA)
    """All fields that COCO does not name."""
    broken_mask: bool = msgspec.field(default=False, name="autolabel:broken")
    """Whether its segmentation cannot be read; it is None then."""

    def corners(self) -> npt.NDArray[np.float32]:
        """Return ``x1 y1 x2 y2`` as (4,) float32, added in float32 like MAL's original code, clipped to +-1e9."""
        if max(map(abs, self.bbox)) > _FARTHEST:
            x, y, width, height = self.bbox
            far = np.asarray([x, y, x + width, y + height], np.float64)
            return np.asarray(np.clip(far, -_FARTHEST, _FARTHEST), np.float32)
        left, top, across, down = np.asarray(self.bbox, np.float32)
        return np.asarray([left, top, left + across, top + down], np.float32)

    def fields(self) -> dict[str, Any]:
        """Return the fields passed on to exports: ids, ``iscrowd``, extra fields, a crowd's ``segmentation``."""
        kept: dict[str, Any] = {
            "id": self.id,
            "image_id": self.image_id,
            "category_id": self.category_id,
            "iscrowd": self.iscrowd,
        }
        if self.iscrowd and self.segmentation is not None:
            kept["segmentation"] = self.segmentation
        return {**self.extra, **kept}

    def score(self) -> tuple[float, str]:
        """Return the score (1 if missing) and its fault (empty if valid)."""
        value = self.extra.get("score")
        if value is None:
            return 1.0, ""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            return 1.0, f"score must be a number from 0 to 1, got {shown_value(value)}"
        return float(value), ""


_OURS = frozenset({_EXTRA, "autolabel:broken"})
_names = frozenset(field.encode_name for field in msgspec.structs.fields(Annotation)) - _OURS
_decoder = msgspec.json.Decoder(list[Annotation])


def join_json(raws: Sequence[msgspec.Raw]) -> bytes:
    """Return entries as one JSON list."""
    return b"[" + b",".join(raws) + b"]"


def decode_annotations(raws: Sequence[msgspec.Raw]) -> list[Annotation]:
    """Read annotations with COCO's fields only."""
    return _decoder.decode(join_json(raws))


def decode_one(raw: msgspec.Raw) -> tuple[Annotation, list[str]]:
    """Read one annotation with extra fields, repaired if possible.

    Also returns remarks on repairs. Raises ValueError with the fault if it cannot be used.
    """
    remarks: list[str] = []
    try:
        fields = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        fields, remarks = plain_json(raw)
    if not isinstance(fields, dict):
        raise ValueError(f": must be an object, got {shown_value(fields)}")
    known = {name: value for name, value in fields.items() if name in _names}
    try:
        annotation = msgspec.convert(known, Annotation)
    except msgspec.ValidationError:
        annotation = msgspec.convert(repaired(known), Annotation)
    annotation.extra = {
        name: carried(value, f"/{name}", remarks) for name, value in fields.items() if name not in _names
    }
    if annotation.iscrowd:
        annotation.segmentation = carried(annotation.segmentation, "/segmentation", remarks)
    return annotation, remarks
