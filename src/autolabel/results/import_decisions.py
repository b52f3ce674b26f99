"""Import decisions into a run: check them against its images and classes, merge them with earlier ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex

from autolabel.errors import DataError, Problem
from autolabel.plan.model import Plan
from autolabel.results.decision import MOST_PROBLEMS, VERSION, Becomes, Decision, Review, Row
from autolabel.results.journal import Journal
from autolabel.results.ledger import Ledger
from autolabel.results.review import join_row, row_of

_MOST_COMPARED = 20_000
"""The most images whose names are compared with an unknown name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The result of importing a review."""

    decisions: tuple[Decision, ...]
    """The decisions to write: the new ones, and a ``forget`` for each that they replace."""
    images: tuple[str, ...] = ()
    """Images that are not in the run; decisions about them are left out."""
    classes: tuple[str, ...] = ()
    """Classes that the run does not have; decisions about them are left out."""
    left_out: int = 0
    """The number of those decisions."""
    problems: tuple[Problem, ...] = field(default=())
    """The unknown images and classes as problems in the file, with the nearest names."""


def take_in(
    journal: Journal, ledger: Ledger, plan: Plan, new: Review, *, file: str, names: Mapping[str, str] | None = None
) -> Taken:
    """Check and merge a review for a run; writes nothing.

    ``names`` maps class names of the review to the run's.
    """
    renamed = tuple(_renamed(one, names or {}) for one in new.decisions)
    review = new.model_copy(update={"decisions": renamed})
    review.__dict__.pop("by_row", None)
    known = set(plan.manifest.classes)
    wanted = review.by_row
    found: set[Row] = set()
    made: list[Decision] = []
    left_out = 0
    for labels in ledger:
        row = row_of(labels)
        if row in wanted:
            found.add(row)
            asked = known.union(labels.prompt.phrases)
            usable = [one for one in wanted[row] if _classes(one) <= asked]
            left_out += len(wanted[row]) - len(usable)
            standing = list(journal.rows.get(row, {}).values())
            made += join_row(standing, usable, labels=labels)
    missing = [row for row in wanted if row not in found]
    left_out += sum(len(wanted[row]) for row in missing)
    strange = sorted({name for one in renamed for name in _classes(one)}.difference(known))
    return Taken(
        decisions=tuple(made),
        images=tuple(dict.fromkeys(image for image, _ in missing)),
        classes=tuple(strange),
        left_out=left_out,
        problems=tuple(_problems(ledger, plan, missing, strange, file=file, of=review)),
    )


def record(
    journal: Journal, decisions: Sequence[Decision], *, plan: Plan, source: str, reviewer: str | None = None
) -> Review:
    """Write the imported decisions as one action, and return all current decisions."""
    if decisions:
        action = Review(
            version=VERSION,
            plan=plan.digest,
            id=token_hex(8),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            reviewer=reviewer,
            source=source,
            decisions=tuple(decisions),
        )
        journal.append(action)
    return journal.checkpoint()


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """Return a hint with the most similar known names; empty if there are none."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def _classes(one: Decision) -> set[str]:
    return {name for name in (one.phrase, one.final_phrase) if name}


def _renamed(one: Decision, names: Mapping[str, str]) -> Decision:
    if not names or one.phrase is None:
        return one
    becomes = one.becomes
    if becomes is not None and becomes.phrase is not None and becomes.phrase in names:
        becomes = Becomes(bbox=becomes.bbox, phrase=names[becomes.phrase], mask=becomes.mask)
    return one.model_copy(update={"phrase": names.get(one.phrase, one.phrase), "becomes": becomes})


def _problems(
    ledger: Ledger, plan: Plan, missing: Sequence[Row], strange: Sequence[str], *, file: str, of: Review
) -> Iterator[Problem]:
    """Yield a problem for each unknown image and class, at most MOST_PROBLEMS of each."""
    images = dict.fromkeys(image for image, _ in missing)
    known = _names(ledger, images) if images else {}
    first_image, first_class = _places(of)
    for image in list(images)[:MOST_PROBLEMS]:
        captions = [caption for name, caption in missing if name == image]
        if image in known:
            text = f"{image!r} has no caption {captions[0]}"
            yield Problem(file=file, path=first_image[image], message=text, hint="captions are counted from 0")
        else:
            text = f"{image!r} is not an image of this run"
            yield Problem(file=file, path=first_image[image], message=text, hint=nearest_hint(image, known))
    for name in strange[:MOST_PROBLEMS]:
        hint = (
            nearest_hint(name, plan.manifest.classes)
            or f"the run has {', '.join(plan.manifest.classes[:10])}; --map OLD=NEW renames"
        )
        yield Problem(file=file, path=first_class[name], message=f"{name!r} is not a class of this run", hint=hint)
    unnamed = len(images) - MOST_PROBLEMS, len(strange) - MOST_PROBLEMS
    for count, word in zip(unnamed, ("images", "classes"), strict=True):
        if count > 0:
            yield Problem(file=file, message=f"and {count} more {word} that the run does not have")


def _names(ledger: Ledger, images: Iterable[str]) -> dict[str, None]:
    """Return candidate images for a name: all of a small run; for a large one, those with the same base name."""
    wanted = {image.rpartition("/")[2] for image in images} | set(images)
    out: dict[str, None] = {}
    for labels in ledger:
        name = labels.image.id
        if len(out) < _MOST_COMPARED or name in wanted or name.rpartition("/")[2] in wanted:
            out[name] = None
    return out


def _places(review: Review) -> tuple[dict[str, str], dict[str, str]]:
    """Return the first position of each image and each class."""
    images: dict[str, str] = {}
    classes: dict[str, str] = {}
    for index, one in enumerate(review.decisions):
        images.setdefault(one.image, f"/decisions/{index}/image")
        for name in _classes(one):
            place = "phrase" if name == one.phrase else "becomes/phrase"
            classes.setdefault(name, f"/decisions/{index}/{place}")
    return images, classes


def refuse(taken: Taken) -> None:
    """Raise DataError if a review has unknown images or classes."""
    if taken.problems:
        raise DataError(list(taken.problems))
