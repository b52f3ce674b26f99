"""Assign images to the parts of a split, such as train and val."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b

TOLERANCE = 1e-6


def split_of(image_id: str, *, fractions: Mapping[str, float], seed: int = 0) -> str:
    """Return the name of an image's part, which depends only on its id and the seed.

    Adding or removing other images does not change it. ``fractions`` are shares by name, in order, with the sum 1;
    actual sizes vary like a random draw. Raises ValueError if the sum is not 1.
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
