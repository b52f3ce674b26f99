"""The phrases and negative phrases of classes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autolabel.types.instances import Instances, Int32
from autolabel.types.neighbours import Neighbours

if TYPE_CHECKING:
    import numpy.typing as npt

_SAME = 0.5
"""The IoU from which a negative's box and a class's are held to be one object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPrompts:
    """The phrases and negative phrases of one class."""

    phrases: tuple[str, ...]
    """A box of any of these phrases belongs to the class."""
    negatives: tuple[str, ...] = ()
    """A box of the class that one of these fits better is dropped."""


Ontology = Mapping[str, ClassPrompts]
"""ClassPrompts by class; a class without an entry uses its name."""


def _terms_of(name: str, ontology: Ontology) -> ClassPrompts:
    """Return a class's terms."""
    return ontology.get(name) or ClassPrompts(phrases=(name,))


def expand_prompts(classes: Sequence[str], ontology: Ontology) -> tuple[str, ...]:
    """Return the distinct phrases of ``classes``, class by class, then their negatives."""
    terms = [_terms_of(name, ontology) for name in classes]
    phrases = [phrase for one in terms for phrase in one.phrases]
    return tuple(dict.fromkeys([*phrases, *(phrase for one in terms for phrase in one.negatives)]))


def collapse_to_classes(found: Instances, classes: Sequence[str], ontology: Ontology) -> Instances:
    """Convert instances labelled by ``expand_prompts(classes, ontology)`` to instances labelled by ``classes``.

    A box is dropped if a box with an IoU of at least 0.5 scores higher under a negative of its class. Of equal boxes
    that one labeler found in one look by several phrases of a class, the one with the highest score is kept, or the
    first of ties; labelers and looks keep separate boxes, because each has a vote. ``asked`` is the phrase that found a
    box, None if it is the class name. The order is kept.
    """
    asked = expand_prompts(classes, ontology)
    owner = {phrase: label for label, name in enumerate(classes) for phrase in _terms_of(name, ontology).phrases}
    labels = np.array([owner.get(phrase, -1) for phrase in asked], np.int32)[found.labels]
    against = np.zeros((len(classes), len(asked)), np.bool_)
    for label, name in enumerate(classes):
        against[label] = np.isin(asked, _terms_of(name, ontology).negatives)
    kept = found.take(keep := (labels >= 0) & ~_contradicted(found, labels, against))
    named = replace(
        kept,
        labels=labels[keep],
        asked=tuple(
            phrase if (phrase := asked[i]) != classes[label] else None
            for i, label in zip(kept.labels.tolist(), labels[keep].tolist(), strict=True)
        ),
    )
    return named.take(_best_of_equals(named))


def _contradicted(found: Instances, labels: Int32, against: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which of N boxes lose to an overlapping, higher-scoring box of a negative phrase of their class.

    ``labels`` (N,) are classes, -1 for none; ``against`` is (classes, phrases).
    """
    lost = np.zeros(len(found), np.bool_)
    if not against.any() or not len(found):
        return lost
    near = Neighbours(found.boxes, _SAME)
    waiting = np.flatnonzero((labels >= 0) & against[labels].any(axis=1))
    while len(waiting):
        answered, i, j, _ = near.search(waiting)
        lost[i[against[labels[i], found.labels[j]] & (found.scores[j] > found.scores[i])]] = True
        waiting = waiting[answered:]
    return lost


def _best_of_equals(found: Instances) -> npt.NDArray[np.intp]:
    """Return the ascending indices of the best box of each set of equal boxes of one label, labeler and look."""
    order = np.argsort(-found.scores, kind="stable")
    finder = [_numbered(column, len(found)) for column in (found.sources, found.looks)]
    rows = np.column_stack([found.labels, *finder, found.boxes])[order]
    _, first = np.unique(rows, axis=0, return_index=True)
    return np.sort(order[first])


def _numbered(column: Sequence[Hashable] | None, count: int) -> Int32:
    """Return a number for each of ``count`` entries, equal for equal entries, or for all without a column."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(entry, len(numbers)) for entry in column or (None,) * count], np.int32)
