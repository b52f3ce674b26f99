"""The units of a certificate: the exported boxes and the images of a run."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.certify.audit import default_cap
from autolabel.certify.order import Keys, key_of
from autolabel.results.score_curves import shares
from autolabel.types import Labels

_UNREADABLE = frozenset({"missing", "unreadable", "corrupt_image", "unsupported_format", "io_error", "too_large"})
"""Reasons why an image cannot be shown; such images are left out and counted."""
_BOX_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class _AuditRow:
    """One image, or one caption of it."""

    image: str
    caption_index: int
    caption: str | None
    size: tuple[int, int]
    """Height and width in pixels; 0 if they are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOut:
    """An exported row, with the decisions about it."""

    labels: Labels
    kept: npt.NDArray[np.bool_]
    """(N,) which boxes a person has confirmed."""
    complete: bool
    """Whether a person said that everything in the image has its box."""


@dataclass
class Units:
    """All units, column by column: F boxes and N images."""

    rows: list[_AuditRow] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    image_keys: array[int] = field(default_factory=lambda: array("Q"))
    box_keys: array[int] = field(default_factory=lambda: array("Q"))
    box_rows: array[int] = field(default_factory=lambda: array("q"))
    """The place of each box's image."""
    box_classes: array[int] = field(default_factory=lambda: array("q"))
    scores: array[float] = field(default_factory=lambda: array("d"))
    support: array[float] = field(default_factory=lambda: array("d"))
    """The share of the looks that saw each box, 1 if an image was seen in none."""
    verdicts: array[float] = field(default_factory=lambda: array("d"))
    """The verdict on each box; NaN if it was not verified."""
    corners: array[float] = field(default_factory=lambda: array("d"))
    """Four numbers a box, ``x1 y1 x2 y2`` in pixels, with the decimals of ``labels.jsonl``."""
    kept: list[int] = field(default_factory=list)
    """Places of the boxes that a person has confirmed."""
    complete: list[int] = field(default_factory=list)
    """Places of the images of which a person has said that they lack nothing."""
    unreadable: int = 0
    """Images that cannot be shown, which are not units."""
    stood_for: int = 0
    """Rows of near-duplicates that are represented by another image of their group, and are not units."""
    digest: str = ""
    """Identifies boxes with scores, and images; not what was decided of them."""

    @cached_property
    def place_of_class(self) -> dict[str, int]:
        """The index of each class in ``classes``."""
        return {name: place for place, name in enumerate(self.classes)}

    @cached_property
    def place_of_box(self) -> dict[int, int]:
        """The index of each box, by key."""
        return {key: place for place, key in enumerate(self.box_keys)}

    @cached_property
    def place_of_image(self) -> dict[int, int]:
        """The index of each image, by key."""
        return {key: place for place, key in enumerate(self.image_keys)}

    def of_class(self, place: int) -> npt.NDArray[np.bool_]:
        """Return a mask (F,) of the boxes of a class."""
        return np.equal(np.frombuffer(self.box_classes, np.int64), place)

    def cap(self, within: npt.NDArray[np.bool_] | None = None) -> int:
        """Return K from the number of boxes per image, counting only boxes in ``within``, (F,), if given."""
        rows = np.frombuffer(self.box_rows, np.int64)
        return default_cap(np.bincount(rows if within is None else rows[within], minlength=len(self.rows)))

    def keys(self) -> tuple[Keys, Keys]:
        """Return the keys of all boxes and of all images."""
        return np.frombuffer(self.box_keys, np.uint64), np.frombuffer(self.image_keys, np.uint64)

    def box(self, place: int) -> dict[str, Any]:
        """Return the data that a person needs to check a box."""
        row = self.rows[self.box_rows[place]]
        facts = {
            "bbox": self.corners[4 * place : 4 * place + 4].tolist(),
            "phrase": self.classes[self.box_classes[place]],
        }
        return {"unit": "box", "image": row.image, **_captioned(row), **facts, "score": self.scores[place]}

    def image(self, place: int) -> dict[str, Any]:
        """Return the data that a person needs to check an image."""
        row = self.rows[place]
        return {"unit": "image", "image": row.image, **_captioned(row)}


def _captioned(row: _AuditRow) -> Mapping[str, Any]:
    """Return the caption of a row, empty if it has none."""
    return {} if row.caption is None else {"caption_index": row.caption_index, "caption": row.caption}


def readable(labels: Labels) -> bool:
    """Return whether the image of a row can be shown."""
    return labels.reason is None or not (labels.reason.code in _UNREADABLE or 0 in labels.image.size)


def gather_units(rows: Iterable[HandedOut], classes: Iterable[str]) -> Units:
    """Return the units of a run; ``classes`` are its class names, to which those of its boxes are added.

    A failed image is included without boxes; an image that cannot be shown is left out and counted.
    """
    units = Units(classes=list(dict.fromkeys(classes)))
    place_of = {name: place for place, name in enumerate(units.classes)}
    digest = hashlib.sha256(b"units of a certificate, form 1\n")
    for one in rows:
        labels = one.labels
        if not readable(labels):
            units.unreadable += 1
            continue
        _add(units, one, place_of)
        digest.update(units.image_keys[-1].to_bytes(8, "big"))
        digest.update(",".join(map(str, units.scores[len(units.scores) - len(labels.instances) :])).encode() + b"\n")
    units.digest = digest.hexdigest()
    return units


def _add(units: Units, one: HandedOut, place_of: dict[str, int]) -> None:
    labels, place = one.labels, len(units.rows)
    name = (labels.image.id, str(labels.caption_index))
    boxes = np.round(labels.instances.boxes.astype(np.float64), _BOX_DECIMALS).tolist()
    scores = np.round(labels.instances.scores.astype(np.float64), 6).tolist()
    units.support.extend(shares(labels.instances).tolist())
    given = labels.instances.verdicts or (None,) * len(boxes)
    verdicts = [np.nan if verdict is None else round(float(verdict), 6) for verdict in given]
    keys: dict[int, None] = {}
    for index, (box, score, label) in enumerate(zip(boxes, scores, labels.instances.labels.tolist(), strict=True)):
        phrase = labels.prompt.phrases[label]
        if phrase not in place_of:
            place_of[phrase] = len(units.classes)
            units.classes.append(phrase)
        key, twin = key_of(*name, phrase, *map(str, box)), 0
        while key in keys:  # two identical boxes
            twin += 1
            key = key_of(*name, phrase, *map(str, box), str(twin))
        keys[key] = None
        if one.kept[index]:
            units.kept.append(len(units.box_keys) + index)
        units.box_rows.append(place)
        units.box_classes.append(place_of[phrase])
        units.scores.append(score)
        units.verdicts.append(verdicts[index])
        units.corners.extend(box)
    units.box_keys.extend(keys)
    if one.complete:
        units.complete.append(place)
    units.rows.append(_AuditRow(labels.image.id, labels.caption_index, labels.prompt.caption, labels.image.size))
    units.image_keys.append(key_of(*name, *map(str, sorted(keys))))
