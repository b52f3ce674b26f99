"""The networks in a checkpoint, whoever wrote it: TAO, NVlabs, or this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from autolabel.weights import bare as without_wrappers

Role = Literal["student", "teacher"]
ROLES: tuple[Role, ...] = ("student", "teacher")
WRAPPERS = ("module.", "model.")
CLASSIFIER = "backbone.head."
T = TypeVar("T")


def split(state: Mapping[str, T]) -> dict[Role, dict[str, T]]:
    """Return the student's and the teacher's tensors under their bare names.

    TAO's and NVlabs' files have both, under ``student.`` and ``teacher.``; one network under bare names counts as the
    student. Anything besides the networks, such as the loss's buffers, is left out.
    """
    bare = {unwrap(key): value for key, value in without_wrappers(state).items()}
    found: dict[Role, dict[str, T]] = {}
    for role in ROLES:
        own = {key.removeprefix(f"{role}."): value for key, value in bare.items() if key.startswith(f"{role}.")}
        if own:
            found[role] = own
    return found or {"student": bare}


def unwrap(key: str) -> str:
    """Return a parameter's name without what wrapping a model has put before it."""
    while key.startswith(WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def without_classifier(state: Mapping[str, T]) -> dict[str, T]:
    """Return the tensors that a mask is made with: the backbone's classifier is not one of them."""
    return {key: value for key, value in state.items() if not key.startswith(CLASSIFIER)}


def has_classifier(state: Mapping[str, object]) -> bool:
    """Return whether the backbone has its classifier, as TAO's files do."""
    return any(key.startswith(CLASSIFIER) for key in state)
