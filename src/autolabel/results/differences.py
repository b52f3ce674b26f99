"""Convert the differences between another tool's file and a run to decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from autolabel.data.corrections.shapes import Corrections, DrawnImage, DrawnObject, objects
from autolabel.data.pairing import nearest_names, pair
from autolabel.errors import Problem
from autolabel.plan.model import Plan, SizeLimits
from autolabel.results.decision import MOST_PROBLEMS, Becomes, Decision, Mask
from autolabel.results.import_decisions import nearest_hint as nearest_class
from autolabel.results.journal import Journal
from autolabel.results.ledger import Ledger
from autolabel.results.row_view import Box, RowView, gone, kept, view
from autolabel.results.select import above_threshold, within
from autolabel.types import Labels, Rle
from autolabel.types.boxes import iou

_SAME_PLACE = 1.0
"""Pixels by which formats round a box; a box that is off by no more was not moved."""
_MOVED = 0.3
"""The minimum IoU at which a box of the class at another place is the same object, moved."""
_RECLASSIFIED = 0.5
"""The minimum IoU at which a box of another class is the same object, reclassified."""
_SAME_MASK = 0.98
"""The minimum IoU at which masks are the same; tracing polygons changes them a little."""
_MOST_NEAR = 5
"""Unknown names for which the nearest are looked for, which takes long among many images."""


@dataclass(slots=True)
class _Differences:
    """The differences between a file and a run."""

    decisions: list[Decision] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    images: int = 0
    """Images of the file that are in the run."""
    problems: list[Problem] = field(default_factory=list)
    """Images, classes and shapes that have no place in the run."""
    unknown_images: list[str] = field(default_factory=list)
    unknown_classes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def correction_differences(
    corrections: Corrections,
    journal: Journal,
    ledger: Ledger,
    plan: Plan,
    *,
    file: str,
    partial: bool,
    names: Mapping[str, str] | None = None,
) -> _Differences:
    """Return the changes of a file to a run with its current decisions.

    Images are matched by path, allowing for names changed by other tools. An image in the file counts as completely
    checked, so boxes that it lacks are removed, unless ``partial``. ``names`` maps class names of the file to the
    run's.
    """
    out = _Differences(notes=list(corrections.notes), problems=list(corrections.problems))
    drawn = _placed(corrections, ledger, out, file=file)
    known = _classes(corrections, plan, names or {}, out, file=file)
    crowded: list[str] = []
    for image, group in groupby(ledger, key=lambda row: row.image.id):
        if image not in drawn:
            continue
        rows = list(group)
        if any(row.reason is not None for row in rows):
            out.problems.append(Problem(file=file, message=f"{image!r} failed in the run: it has no labels to correct"))
            continue
        problems_before = len(out.problems)
        found = _objects(drawn[image], rows[0], known, out, file=file)
        if found is None:
            continue
        unsure = (
            bool(corrections.problems) or len(out.problems) > problems_before
        )  # the image has shapes that were not read
        crowded += [image] * (drawn[image].crowds > 0)
        out.images += 1
        for row in rows:
            own = [one for one in found if one.phrase in row.prompt.phrases] if len(rows) > 1 else found
            used = _compare(
                _view(row, journal, plan),
                own,
                out,
                masked=corrections.masked and not unsure,
                partial=partial or unsure or drawn[image].crowds > 0,
            )
            found = [one for one in found if id(one) not in used]
    if crowded and not partial:
        out.notes.append(_crowds_told(crowded))
    return out


def _crowds_told(images: Sequence[str]) -> str:
    """Return notes on images with crowds."""
    more = "" if len(images) == 1 else f" and {len(images) - 1:,} more image(s)"
    return (
        f"{images[0]!r}{more}: has crowd regions (iscrowd), which do not list single objects; boxes that the file"
        " lacks stay, and such an image does not count as checked"
    )


def _placed(corrections: Corrections, ledger: Ledger, out: _Differences, *, file: str) -> dict[str, DrawnImage]:
    """Return the images of a file by their ids in the run."""
    images = list(dict.fromkeys(row.image.id for row in ledger))
    known = images if corrections.endings else _without_endings(images)
    pairing = pair(known, [image.name for image in corrections.images])
    out.notes += pairing.notes()
    placed: dict[str, DrawnImage] = {}
    for image in corrections.images:
        name = pairing.image_of.get(image.name)
        if name is not None:
            placed[known[name] if isinstance(known, dict) else name] = image
            continue
        out.unknown_images.append(image.name)
        if len(out.unknown_images) <= MOST_PROBLEMS:
            meant = pairing.ambiguous.get(image.name)
            near = list(meant or (nearest_names(image.name, images) if len(out.unknown_images) <= _MOST_NEAR else ()))[
                :3
            ]
            text = "could mean several images of this run" if meant else "is not an image of this run"
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
            out.problems.append(Problem(file=file, message=f"{image.name!r} {text}", hint=hint))
    if (more := len(out.unknown_images) - MOST_PROBLEMS) > 0:
        out.problems.append(Problem(file=file, message=f"and {more} more images that the run does not have"))
    return placed


def _without_endings(images: Sequence[str]) -> dict[str, str]:
    """Return images by name without extension, leaving out ambiguous names."""
    stems = Counter(image.rpartition(".")[0] for image in images)
    return {stem: image for image in images if stems[stem := image.rpartition(".")[0]] == 1}


def _classes(
    corrections: Corrections, plan: Plan, names: Mapping[str, str], out: _Differences, *, file: str
) -> dict[str, str]:
    """Map classes of the file to those of the run, ignoring letter case and spaces."""
    own = {_plain(name): name for name in reversed(plan.manifest.classes)}
    known: dict[str, str] = {}
    for phrase in dict.fromkeys(shape.phrase for image in corrections.images for shape in image.shapes):
        called = names.get(phrase, phrase)
        found = called if called in plan.manifest.classes else own.get(_plain(called))
        if found is not None:
            known[phrase] = found
            continue
        out.unknown_classes.append(phrase)
        if len(out.unknown_classes) <= MOST_PROBLEMS:
            near = len(out.unknown_classes) <= _MOST_NEAR and nearest_class(called, plan.manifest.classes)
            hint = near or "--map OLD=NEW says what it is called in the run"
            out.problems.append(Problem(file=file, message=f"{called!r} is not a class of this run", hint=hint))
    if (more := len(out.unknown_classes) - MOST_PROBLEMS) > 0:
        out.problems.append(Problem(file=file, message=f"and {more} more classes that the run does not have"))
    return known


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _objects(
    image: DrawnImage, row: Labels, known: Mapping[str, str], out: _Differences, *, file: str
) -> list[DrawnObject] | None:
    """Return the objects of an image with the run's classes; None if its size in the file differs."""
    if image.size is not None and image.size != row.image.size:
        (height, width), (own_height, own_width) = image.size, row.image.size
        text = f"{image.name!r} is {width}x{height} in the file, {own_width}x{own_height} in the run"
        out.problems.append(Problem(file=file, message=text))
        return None
    found, faults = objects(image, row.image.size)
    out.problems += [Problem(file=file, message=fault) for fault in faults]
    return [
        DrawnObject(phrase=known[one.phrase], box=one.box, boxed=one.boxed, mask=one.mask)
        for one in found
        if one.phrase in known
    ]


def _view(row: Labels, journal: Journal, plan: Plan) -> RowView:
    shown = within(row, plan.outputs.filter or SizeLimits()) & above_threshold(row, plan.outputs.thresholds or {})
    decisions = journal.rows.get((row.image.id, row.caption_index), {})
    return view(row, decisions.values(), shown=shown.tolist())


def _compare(now: RowView, found: Sequence[DrawnObject], out: _Differences, *, masked: bool, partial: bool) -> set[int]:
    """Add the differences of one row; return the ids of matched objects."""
    boxes = [box for box in now.boxes if box.verdict != "reject" and not box.hidden]
    matched = _matched(boxes, found)
    for index, box in enumerate(boxes):
        if index in matched:
            _changed(box, found[matched[index]], now, out, masked=masked)
        elif not partial:
            out.decisions.append(gone(box, now.row))
            out.counts["removed"] += 1
    added = [number for number in range(len(found)) if number not in set(matched.values())]
    for number in added:
        out.decisions.append(_added(found[number], now))
        out.counts["added"] += 1
    if not partial and now.verdict != "checked":
        out.decisions.append(Decision(image=now.row[0], caption_index=now.row[1], verdict="checked"))
    return {id(found[number]) for number in (*matched.values(), *added)}


def _matched(boxes: Sequence[Box], found: Sequence[DrawnObject]) -> dict[int, int]:
    """Match each box to an object: equal ones first, then the closest of the class, then of another class."""
    out: dict[int, int] = {}
    if not boxes or not found:
        return out
    places = np.asarray([box.place for box in boxes], np.float64)
    drawn = np.asarray([one.box for one in found], np.float64)
    overlap = iou(places, drawn)
    same = np.asarray([[box.name == one.phrase for one in found] for box in boxes])
    for index, box in enumerate(boxes):
        for number, one in enumerate(found):
            if _unmoved(box, one):
                overlap[index, number] = 1
    rank = np.where(same, np.where(overlap >= _MOVED, 1 + overlap, 0), np.where(overlap >= _RECLASSIFIED, overlap, 0))
    rank[~same & (overlap == 1)] = 1.9  # an equal position in another class comes first
    used: set[int] = set()
    for place in np.argsort(-rank, axis=None, kind="stable").tolist():
        index, number = divmod(place, len(found))
        if not rank[index, number]:
            break
        if index not in out and number not in used:
            out[index] = number
            used.add(number)
    return out


def _unmoved(box: Box, one: DrawnObject) -> bool:
    """Return whether an object has a box's position; for an object given as a mask only, the mask's position."""
    off = max(abs(a - b) for a, b in zip(box.place, one.box, strict=True))
    if off <= _SAME_PLACE or one.boxed or one.mask is None or box.mask is None:
        return off <= _SAME_PLACE
    return off < 0.2 * max(one.box[2] - one.box[0], one.box[3] - one.box[1]) and _alike(box.mask, one.mask)


def _changed(box: Box, one: DrawnObject, now: RowView, out: _Differences, *, masked: bool) -> None:
    """Add the decision about a changed box."""
    moved = not _unmoved(box, one)
    renamed = box.name != one.phrase
    mask = masked and (one.mask is None) != (box.mask is None)
    mask = mask or (one.mask is not None and box.mask is not None and not _alike(box.mask, one.mask))
    if renamed:
        out.counts["reclassified"] += 1
    if moved:
        out.counts["moved"] += 1
    if mask and not (moved and one.mask is None):
        out.counts["masks changed"] += 1
    if not (moved or renamed or mask):
        out.counts["kept"] += 1
    becomes = box.becomes
    if renamed:
        becomes = becomes.model_copy(update={"phrase": one.phrase if one.phrase != box.phrase else None})
    if moved:
        becomes = becomes.model_copy(update={"bbox": one.box, "mask": _stated(one.mask)})
    elif mask:
        becomes = becomes.model_copy(update={"mask": _stated(one.mask) or "none"})
    made = kept(box, now.row, becomes)
    if box.verdict != "keep" or becomes != box.becomes:
        out.decisions.append(made)


def _added(one: DrawnObject, now: RowView) -> Decision:
    mask = _stated(one.mask)
    return Decision(
        image=now.row[0],
        caption_index=now.row[1],
        bbox=one.box,
        phrase=one.phrase,
        verdict="keep",
        becomes=None if mask is None else Becomes(mask=mask),
    )


def _stated(mask: Rle | None) -> Mask | None:
    return None if mask is None else Mask(size=mask.size, counts=mask.counts)


def _alike(one: Rle, other: Rle) -> bool:
    from pycocotools import mask as coco

    return bool(coco.iou([one.as_coco()], [other.as_coco()], [0])[0, 0] >= _SAME_MASK)
