"""Which part of a split, such as train or val, an image belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b

TOLERANCE = 1e-6


def split_of(image_id: str, *, fractions: Mapping[str, float], seed: int = 0) -> str:
    """Return the name of the part that an image belongs to, a function of its id and the seed alone.

    Adding or removing other images moves nothing. ``fractions`` are shares by name, in order, adding up to 1; the
    parts' sizes come out as stated within the spread of a fair draw. Raises ValueError if they do not add up.
    """
    if any(share < 0 for share in fractions.values()) or not math.isclose(
        sum(fractions.values()), 1, abs_tol=TOLERANCE
    ):
        raise ValueError(f"the shares of a split must be positive and add up to 1, got {dict(fractions)}")
    key = f"{seed}\0{image_id}".encode("utf-8", "surrogatepass")
    draw = int.from_bytes(blake2b(key, digest_size=7).digest()) / 2**56
    reached = 0.0
    for name, share in fractions.items():
        reached += share
        if draw < reached:
            return name
    return max(fractions, key=lambda name: fractions[name])
