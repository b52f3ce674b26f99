"""Give copies of checked images the same boxes, so that one is checked for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from shlex import quote

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from autolabel.data.corrections.shapes import Corrections, DrawnImage, Shape
from autolabel.duplicates import Groups, same_picture
from autolabel.errors import DataError, ImageError
from autolabel.images import read_pixels
from autolabel.plan.model import Plan
from autolabel.registry import Registry
from autolabel.results.checked import HINT, checked_images
from autolabel.results.decision import Decision
from autolabel.results.differences import correction_differences
from autolabel.results.import_decisions import record
from autolabel.results.journal import Journal
from autolabel.results.ledger import ledger_of, mend
from autolabel.results.seal import check_named
from autolabel.results.store import finished
from autolabel.results.written import mark_stale
from autolabel.run.duplicates import keep_groups
from autolabel.run.outputs import follow
from autolabel.storage import Location
from autolabel.types import Labels, Rle, Size

_SOURCE = "duplicates"
_HELD = 4
"""Decoded checked images of a group that are kept for its next copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledCopies:
    """What the copies of checked images got."""

    copies: tuple[tuple[str, str], ...]
    """Each copy that has been labelled, and the checked image that it is a copy of."""
    others: int
    """Unchecked images of the same scenes that are no copies: they have to be checked themselves."""


def label_copies(run: Location, *, registry: Registry) -> LabelledCopies:
    """Give each unchecked copy of a completely checked image that image's boxes and masks, scaled to its size.

    A copy has the same frame, saved again or resized. Shots in a row and overlapping tiles are no copies. An image that
    a person decided anything about stays as it is. The decisions name the image as their reviewer, ``copy of NAME``,
    and are taken back like any others. Raises DataError if no image is checked, or no groups are known.
    """
    store, plan = finished(run)
    check_named(run, plan)
    with store.lock():
        mend(store, plan)
        journal = Journal(store)
        groups = keep_groups(store, plan)
        if not groups.members:
            raise DataError(
                f"{run}: no near-duplicates are known", hint=f"`autolabel duplicates {quote(str(run))}` looks for them"
            )
        checked = {image: rows for image, rows in checked_images(store, plan, journal.decisions()) if len(rows) == 1}
        if not checked:
            raise DataError(f"{run}: no image of this run is checked", hint=HINT)
        decided = {image for image, _ in journal.rows}
        pairs, others = _copies(groups, checked, decided, plan)
        found = correction_differences(
            Corrections(tool=_SOURCE, images=[_drawn(copy, checked[of][0]) for copy, of in pairs]),
            journal,
            ledger_of(store, plan),
            plan,
            file=str(run),
            partial=False,
        )
        origin = dict(pairs)
        decisions = [_signed(one, origin[one.image]) for one in found.decisions]
        if decisions:
            mark_stale(store, plan)
            record(journal, decisions, plan=plan, source=_SOURCE)
            follow(store, plan, registry=registry)
    labelled = {one.image for one in decisions}
    return LabelledCopies(copies=tuple(pair for pair in pairs if pair[0] in labelled), others=others)


def _copies(
    groups: Groups, checked: dict[str, list[Labels]], decided: set[str], plan: Plan
) -> tuple[list[tuple[str, str]], int]:
    """Return the pairs of a copy and its checked image, and the number of other unchecked images in their groups."""
    pairs: list[tuple[str, str]] = []
    others = 0
    for members in groups.members:
        known = [one for one in members if one in checked]
        asked = [one for one in members if one not in decided] if known else []
        found = list(_pairs(asked, known, plan))
        pairs += found
        others += len(asked) - len(found)
    return pairs, others


def _pairs(asked: Sequence[str], known: Sequence[str], plan: Plan) -> Iterator[tuple[str, str]]:
    recipe = plan.recipe

    def pixels_of(image: str) -> npt.NDArray[np.uint8]:
        path = plan.manifest.image_path(image)
        return read_pixels(path, max_pixels=recipe.max_pixels, value_range=recipe.value_range)

    known_pixels = lru_cache(_HELD)(pixels_of)
    for copy in asked:
        try:
            pixels = pixels_of(copy)
            of = next((one for one in known if same_picture(known_pixels(one), pixels)), None)
        except ImageError:
            continue  # it failed in the run as well, and cannot be compared
        if of is not None:
            yield copy, of


def _drawn(name: str, row: Labels) -> DrawnImage:
    """Return what is in a row as shapes in an image of another size."""
    height, width = row.image.size
    found = row.instances
    shapes = []
    masks = found.masks or (None,) * len(found)
    for number, (box, label, mask) in enumerate(zip(found.boxes.tolist(), found.labels, masks, strict=True)):
        phrase = row.prompt.phrases[int(label)]
        corners = ((box[0] / width, box[1] / height), (box[2] / width, box[3] / height))
        shapes.append(Shape(phrase=phrase, kind="box", unit="share", points=corners, group=str(number)))
        if mask is not None:
            shapes.append(Shape(phrase=phrase, kind="mask", mask=_Scaled(mask), group=str(number)))
    return DrawnImage(name=name, size=None, shapes=shapes)


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A mask, for an image of any size."""

    mask: Rle

    def __call__(self, size: Size) -> Rle:
        height, width = size
        pixels = Pillow.fromarray(self.mask.decode()).resize((width, height), Pillow.Resampling.NEAREST)
        return Rle.encode(np.asarray(pixels, bool))


def _signed(one: Decision, of: str) -> Decision:
    return one.model_copy(update={"reviewer": f"copy of {of}"})
