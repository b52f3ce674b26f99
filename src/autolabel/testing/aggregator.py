"""The contract of an aggregator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.strategies import Aggregator
from autolabel.testing.instances import check_bounds, check_instances, difference
from autolabel.testing.subject import Subject
from autolabel.types import Instances, Prompt, Rle, Round, Size

SIZE: Size = (300, 400)
PHRASES = ("one", "two", "three")
_SIZES = (1, 2, 7, 40, 400)
"""The numbers of boxes in the example images."""
_EXACT = 0.0


def check_aggregator(strategy: type[Aggregator], params: Mapping[str, Any]) -> None:
    """Check an aggregator on random crowded images: no new boxes, no changed inputs."""
    subject = Subject(strategy, params)
    subject.check(Aggregator)
    for index, count in enumerate(_SIZES):
        instances = crowd(count, index)
        for threshold in (None, 0.5):
            _check_crowd(subject, instances, Round(index=2, conf_threshold=0.1, nms_threshold=threshold))
    _check_off(subject)
    empty = subject.make().aggregate(Instances.empty(), Round(index=0, conf_threshold=0.5))
    subject.require(isinstance(empty, Instances) and len(empty) == 0, "no instances must give no instances")


def crowd(count: int, seed: int) -> Instances:
    """Return ``count`` boxes around a few objects, some with masks, given fields and equal scores."""
    random = np.random.default_rng(seed)
    centres = random.uniform([60, 60], [340, 240], (max(1, count // 6), 2))
    half = random.uniform(10, 50, (len(centres), 2))
    which = random.integers(0, len(centres), count)
    corners = np.concatenate([centres - half, centres + half], axis=1)[which]
    boxes = corners + random.normal(0, 2, (count, 4))
    return Instances.build(
        boxes,
        scores=np.round(random.uniform(0, 1, count), 1),
        labels=random.integers(0, len(PHRASES), count),
        rounds=random.integers(-1, 3, count),
        masks=[_mask_of(box, mark) for mark, box in enumerate(boxes)],
        given=[{"id": i} for i in range(count)],
    )


def _mask_of(box: npt.NDArray[np.float64], mark: int) -> Rle:
    """Return a box as a mask without the pixel ``mark``, so that no two masks are equal."""
    left, top, right, bottom = np.clip(box.round().astype(int), 0, [SIZE[1], SIZE[0]] * 2).tolist()
    crop = np.ones((bottom - top, right - left), np.bool_)
    crop.flat[mark % crop.size] = False
    return Rle.from_crop(crop, left=left, top=top, size=SIZE)


def _check_crowd(subject: Subject[Aggregator], instances: Instances, round: Round) -> None:
    """Check one result against its input."""
    before = instances.take(np.arange(len(instances)))
    merged = subject.make().aggregate(instances, round)
    check_instances(subject, merged, "the result", prompt=Prompt(PHRASES))
    check_bounds(subject, merged, "the result", size=SIZE)
    subject.require(not difference(instances, before, _EXACT), "the instances that were passed in may not be changed")
    subject.require(len(merged) <= len(instances), "there may not be more boxes than were put in")
    subject.require(np.isin(merged.labels, instances.labels).all(), "labels must be among those put in")
    subject.require(np.isin(merged.rounds, instances.rounds).all(), "rounds must be among those put in")
    low, high = instances.boxes.min(axis=0), instances.boxes.max(axis=0)
    hull = (merged.boxes >= low).all() and (merged.boxes <= high).all()
    subject.require(hull, "boxes must lie within those put in")
    for label in np.unique(merged.labels):
        top = instances.scores[instances.labels == label].max()
        subject.require(
            merged.scores[merged.labels == label].max() <= top,
            "a score may not exceed the highest put in for its label",
        )
    if len(merged):
        _check_extras(subject, instances, merged)
    again = subject.make().aggregate(instances, round)
    subject.require(
        not (said := difference(merged, again, _EXACT)), f"the same input must give the same result: {said}"
    )


def _check_extras(subject: Subject[Aggregator], instances: Instances, merged: Instances) -> None:
    """Check that masks and given fields are kept, each pair from the same instance."""
    subject.require(merged.masks is not None and merged.given is not None, "masks and given fields must be kept")
    origin = {mask: dict(fields) for mask, fields in zip(instances.masks or (), instances.given or (), strict=True)}
    for mask, fields in zip(merged.masks or (), merged.given or (), strict=True):
        subject.require(fields in origin.values(), f"given fields must be those of an instance put in, found {fields}")
        subject.require(
            mask is None or mask not in origin or origin[mask] == dict(fields),
            "mask and given fields must come from the same instance",
        )


def _check_off(subject: Subject[Aggregator]) -> None:
    """Check that a round's ``nms_threshold`` of 0 switches aggregation off."""
    instances = crowd(40, 0)
    same = subject.make().aggregate(instances, Round(index=0, conf_threshold=0.5, nms_threshold=0.0))
    subject.require(
        not (said := difference(instances, same, _EXACT)), f"nms_threshold 0 must return the input unchanged: {said}"
    )
