"""One image with its true and its found objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.data.coco.read import Annotation
from autolabel.results.score_curves import shares, verdicts
from autolabel.types import Labels, Rle, Size
from autolabel.types.boxes import areas, clip_exactly

_Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_Masks = tuple[Rle | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Objects:
    """N objects of one image, column by column."""

    boxes: _Float64
    """(N, 4) ``x1 y1 x2 y2`` in pixels."""
    classes: Int64
    """(N,) into the measured classes."""
    masks: _Masks
    ids: tuple[int | None, ...]
    """Ids of annotations: of the truth, or those that found objects were given with."""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """The true and the found objects of one image, limited to measured classes."""

    size: Size
    true: Objects
    crowds: npt.NDArray[np.bool_]
    """(N,) whether a true object is a crowd: what is found there is neither right nor wrong."""
    areas: _Float64
    """(N,) true areas in pixels: those of the file, else of the mask, else of the box."""
    broken: npt.NDArray[np.bool_]
    """(N,) whether a true object has a segmentation that cannot be read: its mask is neither found nor missed."""
    found: Objects
    scores: _Float64
    rounds: Int64
    shares: _Float64
    """The share of looks that saw a found object; 1 without looks."""
    verdicts: _Float64
    """The verdict on a found object; NaN if it was not verified."""


def truth_of(annotations: Sequence[Annotation], size: Size, class_of: Callable[[int], int | None]) -> Scene:
    """Return a scene with true objects only, without unmeasured classes and objects outside the image.

    The annotations must come from a file that was read with its masks checked.
    """
    kept = [
        (one, number) for one in annotations if (number := class_of(one.category_id)) is not None and all(one.bbox[2:])
    ]
    boxes = np.array([one.bbox for one, _ in kept], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes = clip_exactly(boxes, size).astype(np.float64)
    inside = areas(boxes) > 0
    kept, boxes = [one for one, stays in zip(kept, inside.tolist(), strict=True) if stays], boxes[inside]
    read = [_mask_of(one, size) for one, _ in kept]
    masks = tuple(mask for mask, _ in read)
    true = Objects(
        boxes=boxes,
        classes=np.array([number for _, number in kept], np.int64),
        masks=masks,
        ids=tuple(one.id for one, _ in kept),
    )
    true_areas = [_area_of(one, mask) for (one, _), mask in zip(kept, masks, strict=True)]
    return Scene(
        size=size,
        true=true,
        crowds=np.array([bool(one.iscrowd) for one, _ in kept], bool),
        areas=np.array(true_areas, np.float64),
        broken=np.array([broken for _, broken in read], bool),
        found=_nothing(),
        scores=np.zeros(0),
        rounds=np.zeros(0, np.int64),
        shares=np.zeros(0),
        verdicts=np.zeros(0),
    )


def _mask_of(annotation: Annotation, size: Size) -> tuple[Rle | None, bool]:
    """Return the mask of an annotation, None if it has none, and whether it has one that cannot be read."""
    if not annotation.segmentation:
        return None, annotation.broken_mask
    try:
        return Rle.from_coco(annotation.segmentation, size, added_up=True), False
    except ValueError:
        return None, True


def _area_of(annotation: Annotation, mask: Rle | None) -> float:
    """Return the area for COCO's size classes."""
    if annotation.area is not None and annotation.area >= 0:
        return annotation.area
    return float(mask.area()) if mask is not None else annotation.bbox[2] * annotation.bbox[3]


def _nothing() -> Objects:
    """Return no objects."""
    return Objects(boxes=np.zeros((0, 4)), classes=np.zeros(0, np.int64), masks=(), ids=())


def with_found(scene: Scene, rows: Sequence[Labels], class_of: Callable[[str], int | None]) -> Scene:
    """Return the scene with the objects of all ``rows`` that are of a measured class."""
    parts = [_columns(row, class_of) for row in rows]
    found = Objects(
        boxes=np.concatenate([scene.found.boxes, *(part[0].boxes for part in parts)]),
        classes=np.concatenate([scene.found.classes, *(part[0].classes for part in parts)]),
        masks=tuple(mask for part in parts for mask in part[0].masks),
        ids=tuple(number for part in parts for number in part[0].ids),
    )
    return Scene(
        size=scene.size,
        true=scene.true,
        crowds=scene.crowds,
        areas=scene.areas,
        broken=scene.broken,
        found=found,
        scores=np.concatenate([scene.scores, *(part[1] for part in parts)]),
        rounds=np.concatenate([scene.rounds, *(part[2] for part in parts)]),
        shares=np.concatenate([scene.shares, *(part[3] for part in parts)]),
        verdicts=np.concatenate([scene.verdicts, *(part[4] for part in parts)]),
    )


def _columns(row: Labels, class_of: Callable[[str], int | None]) -> tuple[Objects, _Float64, Int64, _Float64, _Float64]:
    """Return objects, scores, rounds, shares of looks and verdicts of one row, without those of unmeasured classes."""
    classes = [class_of(row.prompt.phrases[label]) for label in row.instances.labels.tolist()]
    kept = row.instances.take([index for index, number in enumerate(classes) if number is not None])
    given = [one.get("id") for one in kept.given or ({},) * len(kept)]
    objects = Objects(
        boxes=kept.boxes.astype(np.float64),
        classes=np.array([number for number in classes if number is not None], np.int64),
        masks=kept.masks or (None,) * len(kept),
        ids=tuple(number if isinstance(number, int) else None for number in given),
    )
    return objects, kept.scores.astype(np.float64), kept.rounds.astype(np.int64), shares(kept), verdicts(kept)
