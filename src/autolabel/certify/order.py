"""The random order in which units are drawn, derived from the labels so that it cannot be chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
"""(N,) names of units as numbers: they depend on what a unit is, and on nothing else."""
_Int64 = npt.NDArray[np.int64]


def seed_of(population: str, known: str, number: int) -> str:
    """Return the seed of a round, from the labels' digest, the digest of earlier decisions, and its number."""
    return hashlib.sha256(f"autolabel certificate\n{population}\n{known}\n{number}".encode()).hexdigest()


def digest_of(boxes: Iterable[int], images: Iterable[int]) -> str:
    """Return the digest of a set of units, independent of their order."""
    words = (" ".join(f"{key:016x}" for key in sorted(keys)) for keys in (boxes, images))
    return hashlib.sha256("|".join(words).encode()).hexdigest()


def shuffled(seed: str, keys: Keys) -> _Int64:
    """Return the indices of units in random order, (N,), sorted by SHA-256 of the seed and each unit's key."""
    start = hashlib.sha256(seed.encode())
    drawn = np.empty(len(keys), "S16")
    for place, key in enumerate(keys.tolist()):
        one = start.copy()
        one.update(key.to_bytes(8, "big"))
        drawn[place] = one.hexdigest()[:16]
    return np.argsort(drawn, kind="stable").astype(np.int64)


def key_of(*parts: str) -> int:
    """Return the key of a unit with this description."""
    text = "\x1f".join(part.replace("\\", "\\\\").replace("\x1f", "\\u") for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
