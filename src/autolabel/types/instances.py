"""The objects found in one image, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from autolabel.types.image import Image
from autolabel.types.masks import Rle
from autolabel.types.prompt import Prompt

if TYPE_CHECKING:
    import numpy.typing as npt

_Float32: TypeAlias = "npt.NDArray[np.float32]"
Int32: TypeAlias = "npt.NDArray[np.int32]"
_Int16: TypeAlias = "npt.NDArray[np.int16]"
_T = TypeVar("_T")

GIVEN = -1
"""The round of a box that was given, not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The support of a box, counted in pairs of labeler and look."""

    looks: int
    """Pairs of labeler and look that saw it."""
    labelers: int
    """Labelers that saw it in any look."""
    asked: int
    """Pairs that were used for the image."""


UNSEEN = Support(looks=0, labelers=0, asked=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instances:
    """N objects of one image, column by column.

    Boxes are ``x1 y1 x2 y2`` in pixels of the upright image, half-open; the origin is the outer corner of the
    top-left pixel. Raises ValueError if the columns differ in length.
    """

    boxes: _Float32
    """(N, 4) float32."""
    scores: _Float32
    """(N,) float32 in [0, 1]."""
    labels: Int32
    """(N,) int32 into ``prompt.phrases``."""
    rounds: _Int16
    """(N,) int16: the round that found it, -1 for a given box."""
    masks: tuple[Rle | None, ...] | None = None
    """N masks of the whole image; an entry is None if an object has no mask."""
    given: tuple[Mapping[str, Any], ...] | None = None
    """N mappings: id, category and extra fields of the annotation a box came from, kept to the output."""
    asked: tuple[str | None, ...] | None = None
    """N phrases that found the boxes; an entry is None if it is the class name."""
    sources: tuple[tuple[str, ...], ...] | None = None
    """N lists of the labelers that support a box, if there are several labelers."""
    looks: tuple[str, ...] | None = None
    """N names of the looks that the boxes were seen in, where an image is seen in several."""
    support: tuple[Support, ...] | None = None
    """The number of looks that saw each of N boxes, if there are several looks."""
    verdicts: tuple[float | None, ...] | None = None
    """N verdicts in [0, 1], the probability that a box has the object of its label; None without a verifier."""
    expressions: tuple[str | None, ...] | None = None
    """N referring expressions, which identify a box in its image; None for a box without one."""
    notes: tuple[str, ...] = ()
    """Notes of the labeler about its answer as a whole; they are added to the notes of the image's row."""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4):
            raise ValueError(f"boxes must have the shape (N, 4), got {self.boxes.shape}")
        for name in _COLUMNS:
            column: Sized | None = getattr(self, name)
            if column is not None and len(column) != n:
                raise ValueError(f"{name} must have {n} entries as boxes has, got {len(column)}")

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def build(
        cls,
        boxes: npt.ArrayLike,
        *,
        scores: npt.ArrayLike,
        labels: npt.ArrayLike,
        rounds: npt.ArrayLike | int = 0,
        masks: Sequence[Rle | None] | None = None,
        given: Sequence[Mapping[str, Any]] | None = None,
        asked: Sequence[str | None] | None = None,
        sources: Sequence[tuple[str, ...]] | None = None,
        support: Sequence[Support] | None = None,
        verdicts: Sequence[float | None] | None = None,
        expressions: Sequence[str | None] | None = None,
    ) -> Instances:
        """Build from array-likes, converting dtypes; a scalar ``rounds`` applies to every box."""
        array = np.asarray(boxes, np.float32).reshape(-1, 4)
        found_in = np.empty(len(array), np.int16)
        found_in[:] = np.asarray(rounds, np.int16)
        return cls(
            boxes=array,
            scores=np.asarray(scores, np.float32).reshape(-1),
            labels=np.asarray(labels, np.int32).reshape(-1),
            rounds=found_in,
            masks=None if masks is None else tuple(masks),
            given=None if given is None else tuple(given),
            asked=None if asked is None else tuple(asked),
            sources=None if sources is None else tuple(sources),
            support=None if support is None else tuple(support),
            verdicts=None if verdicts is None else tuple(verdicts),
            expressions=None if expressions is None else tuple(expressions),
        )

    @classmethod
    def empty(cls) -> Instances:
        """Return instances without objects."""
        return _empty()

    def take(self, index: npt.ArrayLike) -> Instances:
        """Return the objects at ``index`` (integers, or a boolean mask of length N), in that order."""
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            if chosen.all() and len(chosen) == len(self):
                return self
            chosen = chosen.nonzero()[0]
        else:
            chosen = chosen.astype(np.intp)
        return Instances(
            boxes=self.boxes[chosen],
            scores=self.scores[chosen],
            labels=self.labels[chosen],
            rounds=self.rounds[chosen],
            masks=_picked(self.masks, chosen),
            given=_picked(self.given, chosen),
            asked=_picked(self.asked, chosen),
            sources=_picked(self.sources, chosen),
            looks=_picked(self.looks, chosen),
            support=_picked(self.support, chosen),
            verdicts=_picked(self.verdicts, chosen),
            expressions=_picked(self.expressions, chosen),
            notes=self.notes,
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Instances]) -> Instances:
        """Concatenate objects of one image; an optional column is kept if any part has it; notes are distinct."""
        notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
        parts = [part for part in parts if len(part)]
        if len(parts) <= 1:
            one = parts[0] if parts else cls.empty()
            return one if one.notes == notes else replace(one, notes=notes)
        return cls(
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            rounds=np.concatenate([part.rounds for part in parts]),
            masks=_joined([(part.masks, len(part)) for part in parts], None),
            given=_joined([(part.given, len(part)) for part in parts], {}),
            asked=_joined([(part.asked, len(part)) for part in parts], None),
            sources=_joined([(part.sources, len(part)) for part in parts], ()),
            looks=_joined([(part.looks, len(part)) for part in parts], ""),
            support=_joined([(part.support, len(part)) for part in parts], UNSEEN),
            verdicts=_joined([(part.verdicts, len(part)) for part in parts], None),
            expressions=_joined([(part.expressions, len(part)) for part in parts], None),
            notes=notes,
        )


_COLUMNS = tuple(field.name for field in fields(Instances) if field.name not in ("boxes", "notes"))


@cache
def _empty() -> Instances:
    return Instances.build([], scores=[], labels=[])


def _picked(column: tuple[_T, ...] | None, chosen: npt.NDArray[np.intp]) -> tuple[_T, ...] | None:
    """Return the entries of an optional column at ``chosen``."""
    return None if column is None else tuple(column[i] for i in chosen)


def _joined(columns: Sequence[tuple[tuple[_T, ...] | None, int]], absent: _T) -> tuple[_T, ...] | None:
    """Concatenate optional columns with their lengths; ``absent`` fills missing ones, unless all are missing."""
    if all(column is None for column, _ in columns):
        return None
    return tuple(entry for column, length in columns for entry in (column or (absent,) * length))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """An image with its pixels, ready for a labeler."""

    image: Image
    pixels: npt.NDArray[np.uint8]
    """(H, W, 3) uint8 RGB, upright."""
    prompt: Prompt
    instances: Instances
    """The objects of the previous stage; empty in the first stage unless boxes were given."""
