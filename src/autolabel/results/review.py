"""Apply decisions to labels, and merge them with earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel.results.decision import (
    VERSION,
    Decision,
    Key,
    Review,
    Verdict,
    encode_line,
    encode_review,
    parse_review,
    read_review,
    row_of,
)
from autolabel.results.same_object import assign
from autolabel.types import GIVEN, Instances, Labels, Prompt, Rle, Size
from autolabel.types.boxes import Float32, areas, clip

__all__ = [
    "Decision",
    "Review",
    "Verdict",
    "apply_protected",
    "apply_to_row",
    "assigned",
    "encode_line",
    "encode_review",
    "is_checked",
    "join_row",
    "left_out",
    "merge_reviews",
    "parse_review",
    "protected",
    "read_review",
    "row_of",
    "verdicts",
]


def merge_reviews(old: Review, new: Review, *, labels: Mapping[tuple[str, int], Labels] | None = None) -> Review:
    """Merge two reviews: a new decision replaces the old one about the same object; ``forget`` removes it.

    ``labels`` are rows of the run by name: two decisions about one of their boxes are about the same object. The result
    is sorted by row, whole-row decisions first, without duplicates and ``forget``.
    """
    rows = sorted(old.by_row.keys() | new.by_row.keys())
    known = labels or {}
    joined = (
        one
        for row in rows
        for one in _merge_row(old.by_row.get(row, []), new.by_row.get(row, []), labels=known.get(row))
    )
    return Review(version=VERSION, plan=new.plan, decisions=tuple(joined))


def _merge_row(old: list[Decision], new: list[Decision], *, labels: Labels | None = None) -> list[Decision]:
    """Merge the decisions of one row."""
    state = {one.key: one for one in old}
    for one in join_row(old, new, labels=labels):
        if one.verdict == "forget":
            state.pop(one.key, None)
        else:
            state[one.key] = one
    return in_order(state.values())


def in_order(decisions: Iterable[Decision]) -> list[Decision]:
    """Return decisions of a row in the order in which they are written: the whole row first."""
    return sorted(decisions, key=lambda one: (one.phrase or "", one.bbox or ()))


def join_row(old: Sequence[Decision], new: Sequence[Decision], *, labels: Labels | None = None) -> list[Decision]:
    """Return the new decisions of a row, followed by a ``forget`` for each replaced old one.

    Two decisions are about the same object if both match one box of ``labels``, or if neither does and they overlap.
    """
    latest: dict[Key, Decision] = {one.key: one for one in new}
    known = {one.key for one in old}
    waiting = [one for one in old if one.key is not None and one.key not in latest]
    fresh = [one for one in latest.values() if one.key is not None and one.key not in known]
    replaced: set[int] = set()
    if labels is not None and waiting and fresh:
        of_old, of_new = assigned(labels, waiting), assigned(labels, fresh)
        spoken_of = {box for box in of_new if box >= 0}
        replaced = {index for index, box in enumerate(of_old) if box in spoken_of}
        waiting_left = [index for index, box in enumerate(of_old) if box < 0]
        fresh = [one for one, box in zip(fresh, of_new, strict=True) if box < 0]
    else:
        waiting_left = list(range(len(waiting)))
    left = [waiting[index] for index in waiting_left]
    places = np.asarray([one.place for one in left], np.float64).reshape(-1, 4)
    replaced |= {
        waiting_left[index] for index in assign(places, [one.final_phrase for one in left], fresh) if index >= 0
    }
    forgotten = [
        Decision(image=one.image, caption_index=one.caption_index, bbox=one.bbox, phrase=one.phrase, verdict="forget")
        for one in (waiting[index] for index in sorted(replaced))
    ]
    return [*latest.values(), *forgotten]


def verdicts(labels: Labels, review: Review) -> list[Verdict | None]:
    """Return the verdict on each box of a row, None if undecided."""
    decisions = review.boxes(labels)
    out: list[Verdict | None] = [None] * len(labels.instances)
    for decision, box in zip(decisions, assigned(labels, decisions), strict=True):
        if box >= 0:
            out[box] = decision.verdict
    return out


def assigned(labels: Labels, decisions: Sequence[Decision]) -> list[int]:
    """Return for each decision the index of the row's box that it is about, or -1."""
    names = [labels.prompt.phrases[label] for label in labels.instances.labels.tolist()]
    return assign(labels.instances.boxes, names, decisions)


def left_out(labels: Labels, review: Review) -> bool:
    """Return whether the whole row was rejected, so that exports leave it out."""
    return review.whole(labels) == "reject"


def is_checked(labels: Labels, review: Review) -> bool:
    """Return whether the whole row was checked, so that it has exactly the kept boxes."""
    return review.whole(labels) in ("keep", "checked")


def protected(labels: Labels, review: Review) -> npt.NDArray[np.bool_]:
    """Return which boxes of a row (N,) were kept by a person, and are exempt from filters."""
    return np.asarray([verdict == "keep" for verdict in verdicts(labels, review)], bool)


def apply_to_row(labels: Labels, review: Review, *, classes: Sequence[str] = ()) -> Labels:
    """Return a row with its decisions applied; undecided and failed rows are returned unchanged.

    Rejected boxes are dropped. Kept ones get their decided position, class and mask, and are restored if a later run
    did not find them, as long as their class is in the row's prompt or in ``classes``. A rejected row has no boxes; a
    checked row has the kept boxes only.
    """
    return _applied(labels, review, classes)[0]


def apply_protected(
    labels: Labels, review: Review, *, classes: Sequence[str] = ()
) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the result of ``apply_to_row``, and which of its boxes (N,) a person kept."""
    return _applied(labels, review, classes)


def _applied(labels: Labels, review: Review, classes: Sequence[str]) -> tuple[Labels, npt.NDArray[np.bool_]]:
    nobody = np.zeros(len(labels.instances), bool)
    if labels.reason is not None or row_of(labels) not in review.by_row:
        return labels, nobody
    whole = review.whole(labels)
    if whole == "reject":
        return replace(labels, instances=Instances.empty()), nobody[:0]
    decisions = review.boxes(labels)
    places = assigned(labels, decisions)
    phrases = list(labels.prompt.phrases)
    wanted = dict.fromkeys(one.final_phrase for one in decisions if one.verdict == "keep")
    phrases += [name for name in wanted if name in set(classes).difference(phrases)]
    numbers = {name: number for number, name in enumerate(phrases)}
    stays = np.full(len(labels.instances), whole is None)
    kept = nobody.copy()
    found = labels.instances
    boxes, names = found.boxes.copy(), found.labels.copy()
    masks: list[Rle | None] = list(found.masks) if found.masks is not None else [None] * len(found)
    for decision, box in zip(decisions, places, strict=True):
        if box < 0:
            continue
        stays[box] = kept[box] = decision.verdict == "keep" and decision.final_phrase in numbers
        if stays[box]:
            boxes[box] = _inside([decision], labels.image.size)[0]
            names[box] = numbers[decision.final_phrase]
            masks[box] = _mask_of(decision, masks[box], labels.image.size)
    lost = [
        one
        for one, box in zip(decisions, places, strict=True)
        if box < 0 and one.verdict == "keep" and one.final_phrase in numbers
    ]
    moved = replace(found, boxes=boxes, labels=names, masks=tuple(masks) if any(masks) else None)
    back = _restored(lost, labels.image.size, numbers)
    instances = Instances.concatenate([moved.take(stays), back])
    prompt = (
        labels.prompt if len(phrases) == len(labels.prompt.phrases) else Prompt(tuple(phrases), labels.prompt.caption)
    )
    return (
        replace(labels, instances=instances, prompt=prompt),
        np.concatenate([kept[stays], np.ones(len(back), bool)]),
    )


def _mask_of(decision: Decision, own: Rle | None, size: Size) -> Rle | None:
    """Return the mask of a kept box: its own unless the box was moved or got another mask."""
    becomes = decision.becomes
    if becomes is None or (becomes.mask is None and becomes.bbox is None):
        return own
    return None if becomes.mask is None or becomes.mask == "none" else becomes.mask.rle(size)


def _restored(decisions: Sequence[Decision], size: Size, numbers: Mapping[str, int]) -> Instances:
    """Return kept boxes as instances, without those outside the image."""
    masks = [_mask_of(one, None, size) for one in decisions]
    built = Instances.build(
        _inside(decisions, size),
        scores=[1.0 if one.score is None else one.score for one in decisions],
        labels=[numbers[one.final_phrase] for one in decisions],
        rounds=[GIVEN if one.round is None else one.round for one in decisions],
        masks=masks if any(masks) else None,
    )
    return built.take(areas(built.boxes) > 0)


def _inside(decisions: Sequence[Decision], size: Size) -> Float32:
    """Return the final (N, 4) boxes of decisions, clipped to the image."""
    return clip(np.asarray([one.place for one in decisions], np.float64).reshape(-1, 4), size)
