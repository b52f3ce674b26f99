"""Find likely errors in the labels of a run, or in a truth that it is compared with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from autolabel.doubts.doubt import DoubtfulImage, Doubts, LabelDoubt
from autolabel.doubts.handed_out import doubts_of, held_back
from autolabel.doubts.known import read_known
from autolabel.doubts.near_duplicates import Difference, LabelledPhoto, differences
from autolabel.doubts.rank import by_chance, chance_of_any, rank
from autolabel.evaluate.scenes import _Scenes, gather_scenes
from autolabel.plan.model import Plan
from autolabel.results.checked import truth_at
from autolabel.results.ledger import checked_ledger
from autolabel.results.select import measured
from autolabel.results.store import RunStore, finished
from autolabel.run.duplicates import find_groups
from autolabel.storage import Location

_LIKELY = 0.5
_TWINS = 0.5
"""The weight of other labels on a near-duplicate: either image may be the wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The images that were compared, and their doubts."""

    doubts: tuple[LabelDoubt, ...]
    """Most likely errors first."""
    images: tuple[DoubtfulImage, ...]
    """All images, those most likely to have an error first."""
    boxes: int
    notes: tuple[str, ...]


def find_doubts(
    run: Location,
    truth: str | None,
    *,
    most: int,
    names: Mapping[str, str] | None = None,
    near_duplicates: bool = True,
) -> Doubts:
    """Return the ``most`` likely errors, and the ``most`` images likely to have one.

    ``truth`` is a COCO file, or a run whose checked images are used: its labels are compared with all boxes of ``run``,
    whatever their score. None ranks the exported labels of ``run`` itself. ``names`` maps class names of the truth to
    those of the run. With ``near_duplicates`` all images are read. Raises DataError if run and truth share nothing.
    """
    store, plan = finished(run)
    found = compare(store, plan, truth, names=names, near_duplicates=near_duplicates)
    return Doubts(
        plan=plan.digest,
        truth=truth,
        images_compared=len(found.images),
        boxes_compared=found.boxes,
        boxes=found.doubts[:most],
        images=found.images[:most],
        notes=found.notes,
    )


def compare(
    store: RunStore, plan: Plan, truth: str | None, *, names: Mapping[str, str] | None = None, near_duplicates: bool
) -> _Compared:
    """Return all that is in doubt."""
    if truth is None:
        return _own(store, plan, near_duplicates=near_duplicates)
    with truth_at(truth) as file:
        scenes = gather_scenes(checked_ledger(store, plan), file, names=names)
    ranked = rank(scenes.scenes, scenes.images, scenes.classes)
    twins = _twins(store, plan, _photos(scenes, plan)) if near_duplicates else {}
    doubts = by_chance(list(chain.from_iterable(one.doubts for one in ranked)))
    return _Compared(
        doubts=tuple(doubts),
        images=tuple(_images(scenes.images, doubts, twins)),
        boxes=sum(int((~scene.crowds).sum()) for scene in scenes.scenes),
        notes=scenes.notes,
    )


def _own(store: RunStore, plan: Plan, *, near_duplicates: bool) -> _Compared:
    known = read_known(store, plan)
    doubts = by_chance([*doubts_of(known), *held_back(store, plan)])
    names = list(dict.fromkeys(row.image for row in known.units.rows))
    twins = _twins(store, plan, _labelled(store, plan)) if near_duplicates else {}
    return _Compared(
        doubts=tuple(doubts),
        images=tuple(_images(names, doubts, twins)),
        boxes=len(known.units.box_keys),
        notes=(),
    )


def _images(
    images: Iterable[str], doubts: Sequence[LabelDoubt], twins: Mapping[str, Difference]
) -> Iterator[DoubtfulImage]:
    """Yield all images, the likeliest to have an error first."""
    chances: dict[str, list[float]] = defaultdict(list)
    for one in doubts:
        chances[one.image].append(one.chance)
    rows = []
    for name in images:
        twin, mine = twins.get(name), chances.get(name, [])
        also = [] if twin is None else [_TWINS * twin.share]
        rows.append(
            DoubtfulImage(
                image=name,
                chance=round(chance_of_any([*mine, *also]), 6),
                boxes=int((np.array(mine) > _LIKELY).sum()),
                twin=None if twin is None else twin.twin,
                differs=0 if twin is None else twin.boxes,
            )
        )
    total = {name: sum(mine) for name, mine in chances.items()}
    yield from sorted(rows, key=lambda one: (-one.chance, -total.get(one.image, 0.0), one.image))


def _twins(store: RunStore, plan: Plan, photos: Iterable[LabelledPhoto]) -> dict[str, Difference]:
    """Return the near-duplicates with other labels."""
    recipe, by_name = plan.recipe, {one.name: one for one in photos}
    groups = find_groups(store, plan)
    return differences(by_name, groups, max_pixels=recipe.max_pixels, value_range=recipe.value_range)


def _photos(scenes: _Scenes, plan: Plan) -> Iterator[LabelledPhoto]:
    for name, scene in zip(scenes.images, scenes.scenes, strict=True):
        yield LabelledPhoto(
            name=name,
            path=plan.manifest.image_path(name),
            size=scene.size,
            boxes=scene.true.boxes,
            classes=scene.true.classes,
        )


def _labelled(store: RunStore, plan: Plan) -> Iterator[LabelledPhoto]:
    """Yield the photos of a run with their exported boxes."""
    numbers = {name: number for number, name in enumerate(plan.manifest.classes)}
    for row in measured(store.root)[0]:
        if row.reason is None and row.caption_index == 0:
            phrases = np.array([numbers.setdefault(phrase, len(numbers)) for phrase in row.prompt.phrases], np.int64)
            yield LabelledPhoto(
                name=row.image.id,
                path=plan.manifest.image_path(row.image.id),
                size=row.image.size,
                boxes=row.instances.boxes.astype(np.float64),
                classes=phrases[row.instances.labels] if len(row.instances) else np.zeros(0, np.int64),
            )
