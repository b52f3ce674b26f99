"""Choose the checked images to hold out of the training, to measure both runs on them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from autolabel.duplicates import Groups
from autolabel.errors import DataError
from autolabel.results.checked import HINT

LEAST_TO_TELL = 6
"""Minimum number of held-out groups to accept a gain: with five, all improve by chance once in 32 times."""
_LEAST = 2
"""Minimum number of groups with boxes in each part."""


def hold_out(
    images: Iterable[str],
    *,
    with_boxes: Collection[str],
    groups: Groups,
    share: float,
    seed: int,
    earlier: Collection[str] = (),
    trained_on: Collection[str] = (),
    drawn: Collection[str] = (),
) -> frozenset[str]:
    """Return about ``share`` of the images with boxes, and of those without; near-duplicates stay together.

    At least six groups with boxes are held out if there are twelve. Images held out in ``earlier`` rounds stay held
    out, and images ``trained_on`` are never held out. Images ``drawn`` for the certificate come first, because they
    are a random sample of the run; the others are ordered by a hash. Raises DataError if too few images are checked
    for training and measuring.
    """
    members: dict[str, list[str]] = {}
    for image in images:
        members.setdefault(groups.key(image), []).append(image)
    telling = {key for key, some in members.items() if any(image in with_boxes for image in some)}
    used = {groups.key(image) for image in trained_on}
    chosen = {groups.key(image) for image in earlier} & members.keys() - used
    first = {groups.key(image) for image in drawn}
    least = min(LEAST_TO_TELL, len(telling) // 2)
    for part, wanted in (
        (telling, max(round(share * len(telling)), least)),
        (members.keys() - telling, round(share * len(members.keys() - telling))),
    ):
        free = sorted(part - used - chosen, key=lambda key: (key not in first, _hash(seed, key)))
        chosen |= set(free[: max(0, wanted - len(chosen & part))])
    for part, what in ((chosen, "measure on"), (members.keys() - chosen, "learn from")):
        if len(part & telling) < _LEAST:
            once = " (near-duplicates count once)" if groups.members else ""
            told = f"of {len(members)} checked image(s){once}, {len(part & telling)} with boxes to {what}"
            raise DataError(f"{told}: {_LEAST} or more are needed", hint=HINT)
    return frozenset(image for key in chosen for image in members[key])


def _hash(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()
