"""Decide whether two images show the same scene, by landmarks with equal hashes at consistent positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.duplicates.landmarks import BITS, PATCH, Landmarks

_Int = npt.NDArray[np.int64]

_DIFFERENT = 12
"""Bits in which the hashes of the same thing may differ."""
_TOLERANCE = 3
"""Pixels, at the scale of comparison, by which places may be off one common shift."""
_STRETCH = 0.06
"""By how much of their distance two places may be further apart, or nearer, in the other image: one is cut a little."""
_LEAST = 3
"""Landmarks that must agree."""
_SHARE = 0.6
"""The share of the landmarks in the common part that must agree: a logo, or the same object elsewhere, is no scene."""
_STILL = 32
"""Pixels of shift up to which the camera stood nearly still."""
_STILL_SHARE = 0.2
"""The share that does then: things move, and a camera in a hand turns a little."""
_AHEAD = 8
"""Neighbours in the order of hashes with which each is compared: many copies of one image are a chain, not a clique."""


@dataclass(frozen=True, slots=True)
class _Match:
    """The match of two images."""

    landmarks: int
    """The number of landmarks that agree."""
    share: float
    """The share of the landmarks in the common area, for the image with fewer landmarks there."""
    shift: tuple[int, int]
    """Rows and columns by which the second image lies further up and left than the first, at the common scale."""


def match(first: Landmarks, second: Landmarks) -> _Match | None:
    """Return the match of two images, None if they do not show the same scene."""
    alike = np.bitwise_count(first.hashes[:, None] ^ second.hashes[None]) <= _DIFFERENT
    ours, theirs = np.nonzero(alike)
    if len(np.unique(ours)) < _LEAST:
        return None
    shifts = first.places[ours].astype(np.int64) - second.places[theirs]
    apart = np.abs(first.places[ours][:, None].astype(np.int64) - first.places[ours][None])
    agree: npt.NDArray[np.bool_] = np.all(np.abs(shifts[:, None] - shifts) <= _TOLERANCE + _STRETCH * apart, axis=2)
    best = agree[agree.sum(axis=1).argmax()]
    shift = np.rint(shifts[best].mean(axis=0)).astype(np.int64)
    count = min(len(np.unique(ours[best])), len(np.unique(theirs[best])))
    common = min(_inside(first, second, shift), _inside(second, first, -shift))
    share = count / max(count, common)
    wanted = _STILL_SHARE if np.abs(shift).max() <= _STILL else _SHARE
    return _Match(count, share, (int(shift[0]), int(shift[1]))) if count >= _LEAST and share >= wanted else None


def _inside(one: Landmarks, other: Landmarks, shift: _Int) -> int:
    """Count the landmarks of an image whose patch lies inside the other image."""
    moved = one.places - shift
    margin = PATCH // 2
    inside = (moved >= margin) & (moved < np.array(other.size) - margin)
    return int(inside.all(axis=1).sum())


def candidates(images: Sequence[Landmarks]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of images with at least one similar landmark.

    Hashes are sorted by bands of bits, and neighbours are compared, so time grows with the number of landmarks, not of
    pairs.
    """
    counts = [len(image.hashes) for image in images]
    if not sum(counts):
        return
    hashes = np.concatenate([image.hashes for image in images])
    owners = np.repeat(np.arange(len(images)), counts)
    pairs = [_neighbours(hashes, owners, band) for band in _bands(len(hashes))]
    for pair in np.unique(np.concatenate(pairs), axis=0).tolist():
        yield pair[0], pair[1]


def _bands(count: int) -> list[tuple[int, int]]:
    """Return the bands to sort by, (first, number of bits), so wide that few of ``count`` hashes agree by chance."""
    width = min(BITS, max(12, int(count - 1).bit_length()))
    number = BITS // width
    return [(band * width, width) for band in range(number)]


def _neighbours(hashes: npt.NDArray[np.uint64], owners: _Int, band: tuple[int, int]) -> _Int:
    """Return (N, 2) pairs of images, lower number first, with similar hashes that agree in a band."""
    first, width = band
    keys = (hashes >> np.uint64(first)) & np.uint64((1 << width) - 1)
    order = np.lexsort((owners, keys))
    keys, sorted_hashes, sorted_owners = keys[order], hashes[order], owners[order]
    found = []
    for step in range(1, _AHEAD + 1):
        near = np.bitwise_count(sorted_hashes[:-step] ^ sorted_hashes[step:]) <= _DIFFERENT
        near &= (keys[:-step] == keys[step:]) & (sorted_owners[:-step] != sorted_owners[step:])
        one, other = sorted_owners[:-step][near], sorted_owners[step:][near]
        found.append(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1))
    return np.unique(np.concatenate(found), axis=0)
