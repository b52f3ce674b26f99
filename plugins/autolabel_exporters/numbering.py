"""Choose the ids of a COCO file's records: the input file's ids if usable, otherwise numbers from 1."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autolabel.types import Labels
from autolabel_exporters.rows import by_image

_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Which ids of the input annotations an export keeps, and the ids of its categories."""

    category_of: Mapping[str, int]
    """Category id by phrase; where two input categories share a name, the first one seen."""
    categories: tuple[Mapping[str, Any], ...]
    """The record of every category: those of the input file as they are, else ascending by id."""
    keeps_annotations: bool = False
    keeps_categories: bool = False
    keeps_images: bool = False
    first_free_image: int = 1
    """The id of the first image that has none of its own."""
    first_free_annotation: int = 1
    """The id of the first object that has none of its own."""


@dataclass(slots=True)
class _FileIds:
    """The ids in a file; None once an id is not a non-negative integer."""

    values: array[int] | None = field(default_factory=lambda: array("q"))

    def add(self, value: object) -> None:
        """Add one id."""
        if self.values is None:
            return
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
            self.values.append(value)
        else:
            self.values = None

    def distinct(self) -> bool:
        """Return whether there are ids and all are distinct."""
        return bool(self.values) and len(np.unique(np.asarray(self.values))) == len(self.values or ())

    def largest(self) -> int:
        """Return the largest id, 0 if there is none."""
        return max(self.values or (0,))


@dataclass(slots=True)
class _Survey:
    """The input ids of the rows' images and annotations, 8 bytes each."""

    annotations: _FileIds = field(default_factory=_FileIds)
    images: _FileIds = field(default_factory=_FileIds)
    names: dict[int, str] | None = field(default_factory=dict)
    found: bool = False
    """Whether an object came from no annotation."""

    def add(self, rows: Sequence[Labels]) -> None:
        """Add the rows of one image."""
        own = next((row.image.given.get("id") for row in rows if row.image.given), None)
        image_ids: set[object] = set() if own is None else {own}
        for row in rows:
            for label, given in zip(row.instances.labels.tolist(), given_of(row), strict=True):
                if not given:
                    self.found = True
                    continue
                if given.get("id") is not None:
                    self.annotations.add(given["id"])
                self.add_category(given.get("category_id"), row.prompt.phrases[label])
                if own is None:
                    image_ids.add(given.get("image_id"))
        if image_ids:
            self.images.add(image_ids.pop() if len(image_ids) == 1 else None)

    def add_category(self, number: object, name: str) -> None:
        """Add one category id; two names for one id make all category ids unusable."""
        if self.names is None:
            return
        usable = isinstance(number, int) and not isinstance(number, bool)
        if usable and self.names.setdefault(number, name) == name:  # type: ignore[arg-type]
            return
        self.names = None

    def hopeless(self) -> bool:
        """Return whether no input id can be kept."""
        nothing_given = self.found and not self.annotations.values and not self.images.values
        return nothing_given or (self.annotations.values is None and self.images.values is None and self.names is None)


def choose_ids(labels: Iterable[Labels], classes: Sequence[str], given: Mapping[str, Any] | None = None) -> Numbering:
    """Choose the ids of a COCO file.

    If ``given`` has categories, all of them are kept in the input file's order. Ids of annotations and of images are
    kept if those from the input are distinct non-negative integers; records without an id get the next free number.
    Category ids are kept if no id stands for two names. All other ids count from 1. In a run without input annotations,
    reading stops at the first detected object.
    """
    survey = _Survey()
    for _, rows in by_image(labels):
        survey.add(rows)
        if survey.hopeless():
            break
    records = [one for one in (given or {}).get("categories", ()) if isinstance(one.get("name"), str)]
    kept = {one["id"]: one["name"] for one in records} or survey.names or {}
    numbered = tuple(sorted((*kept.items(), *_unseen(kept, classes))))
    added = [{"id": number, "name": name} for number, name in numbered if not records or number not in kept]
    keeps_images, keeps_annotations = survey.images.distinct(), survey.annotations.distinct()
    return Numbering(
        category_of={name: number for number, name in reversed(numbered)},
        categories=(*records, *added),
        keeps_annotations=keeps_annotations,
        keeps_categories=bool(kept),
        keeps_images=keeps_images,
        first_free_image=survey.images.largest() + 1 if keeps_images else 1,
        first_free_annotation=survey.annotations.largest() + 1 if keeps_annotations else 1,
    )


def _unseen(kept: Mapping[int, str], classes: Sequence[str]) -> list[tuple[int, str]]:
    """Number the classes without an input category: by position in the class order, or by the next free number."""
    names, taken = set(kept.values()), set(kept)
    numbered = []
    for place, name in enumerate(classes, 1):
        if name in names:
            continue
        number = place if place not in taken else max(taken) + 1
        taken.add(number)
        numbered.append((number, name))
    return numbered


def given_of(row: Labels) -> Sequence[Mapping[str, Any]]:
    """Return each object's input annotation; an empty mapping for a detected object."""
    return row.instances.given or ({},) * len(row.instances)
