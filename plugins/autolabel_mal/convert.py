"""Find the networks in a checkpoint of TAO, NVlabs or this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from autolabel.weights import bare as without_wrappers

Role = Literal["student", "teacher"]
_ROLES: tuple[Role, ...] = ("student", "teacher")
_WRAPPERS = ("module.", "model.")
_CLASSIFIER = "backbone.head."
_T = TypeVar("_T")


def split_tensors(state: Mapping[str, _T]) -> dict[Role, dict[str, _T]]:
    """Return the student's and the teacher's tensors under their bare names.

    TAO's and NVlabs' files have both, under ``student.`` and ``teacher.``; one network under bare names counts as the
    student. Anything besides the networks, such as the loss's buffers, is left out.
    """
    bare = {_unwrap(key): value for key, value in without_wrappers(state).items()}
    found: dict[Role, dict[str, _T]] = {}
    for role in _ROLES:
        own = {key.removeprefix(f"{role}."): value for key, value in bare.items() if key.startswith(f"{role}.")}
        if own:
            found[role] = own
    return found or {"student": bare}


def _unwrap(key: str) -> str:
    """Return a parameter's name without wrapper prefixes."""
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def without_classifier(state: Mapping[str, _T]) -> dict[str, _T]:
    """Return the tensors without the backbone's classifier, which masks do not need."""
    return {key: value for key, value in state.items() if not key.startswith(_CLASSIFIER)}


def has_classifier(state: Mapping[str, object]) -> bool:
    """Return whether the backbone has its classifier, as TAO's files do."""
    return any(key.startswith(_CLASSIFIER) for key in state)
