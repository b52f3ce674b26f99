"""Masks as polygons along the edges of their pixels, exact to the pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Points: TypeAlias = "npt.NDArray[np.int64]"
"""(K, 2) corners ``x y`` of a closed ring, the first one not repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A 4-connected part of a mask."""

    outer: Points
    holes: tuple[Points, ...]


def parts(mask: npt.NDArray[np.bool_]) -> list[_Part]:
    """Return the parts of an (H, W) mask from top to bottom; none for an empty mask.

    Filled by the even-odd rule at pixel centres, the rings give the mask back exactly.
    """
    inside, found = np.pad(mask, 1), rings(mask)
    outers = [ring for ring in found if _starts_inside(inside, ring)]
    holes: list[list[Points]] = [[] for _ in outers]
    for ring in found:
        if not _starts_inside(inside, ring):
            holes[_parent(outers, ring)].append(ring)
    return [_Part(outer, tuple(own)) for outer, own in zip(outers, holes, strict=True)]


def rings(mask: npt.NDArray[np.bool_]) -> list[Points]:
    """Return the borders of an (H, W) mask, those of parts and of holes alike, from top to bottom."""
    return _trace(*_corners(np.pad(mask, 1)))


def keyhole(part: _Part) -> Points:
    """Return a part as one ring; holes are joined to the outer ring by zero-width cuts."""
    if not part.holes:
        return part.outer
    cuts = [np.concatenate([hole, hole[:1], part.outer[:1]]) for hole in part.holes]
    return np.concatenate([part.outer, part.outer[:1], *cuts[:-1], cuts[-1][:-1]])


def single_ring(mask_parts: Sequence[_Part]) -> Points:
    """Return all parts as one ring, joined by zero-width cuts; a ring without points if there are none."""
    if not mask_parts:
        return np.zeros((0, 2), np.int64)
    first, *others = (keyhole(part) for part in mask_parts)
    cuts = [np.concatenate([ring, ring[:1], first[:1]]) for ring in others]
    return np.concatenate([first, *([first[:1]] if cuts else []), *cuts])


def _corners(inside: npt.NDArray[np.bool_]) -> tuple[Points, npt.NDArray[np.intp]]:
    """Return the corners of a padded mask by row, then column, and the order of the same by column, then row.

    A corner where two parts touch is listed twice; the two orders determine which edges belong together.
    """
    above_left, above_right = inside[:-1, :-1], inside[:-1, 1:]
    below_left, below_right = inside[1:, :-1], inside[1:, 1:]
    falling = above_left & below_right & ~above_right & ~below_left
    rising = above_right & below_left & ~above_left & ~below_right
    odd = above_left ^ above_right ^ below_left ^ below_right
    rows, columns = np.nonzero(odd | falling | rising)
    copies = np.where(odd[rows, columns], 1, 2)
    points = np.repeat(np.stack([columns, rows], axis=1), copies, axis=0)
    second = np.zeros(len(points), np.int64)
    second[1:] = (points[1:] == points[:-1]).all(axis=1)
    swapped = np.where(rising[points[:, 1], points[:, 0]], 1 - second, second)
    return points, np.lexsort((swapped, points[:, 1], points[:, 0]))


def _trace(points: Points, by_column: npt.NDArray[np.intp]) -> list[Points]:
    """Join corners to rings: pairs along a row share a horizontal edge, pairs along a column a vertical one."""
    along_row = (np.arange(len(points)) ^ 1).tolist()
    along_column = np.empty(len(points), np.intp)
    along_column[by_column] = by_column[np.arange(len(points)) ^ 1]
    down = along_column.tolist()
    waiting = [True] * len(points)
    found = []
    for start in range(len(points)):
        ring, place = [], start
        while waiting[place]:
            other = along_row[place]
            waiting[place] = waiting[other] = False
            ring += [place, other]
            place = down[other]
        if ring:
            found.append(points[ring])
    return found


def _starts_inside(inside: npt.NDArray[np.bool_], ring: Points) -> bool:
    """Return whether a ring is an outer ring, whose first corner has the mask below and to the right."""
    column, row = ring[0]
    return bool(inside[row + 1, column + 1])


def _parent(outers: Sequence[Points], hole: Points) -> int:
    """Return which outer ring encloses a hole most closely."""
    x, y = hole[0] + (0.5, -0.5)
    enclosing = [(_area(outer), index) for index, outer in enumerate(outers) if _encloses(outer, x, y)]
    return min(enclosing)[1]


def _encloses(ring: Points, x: float, y: float) -> bool:
    """Return whether a point, no corner of a pixel, lies inside a ring."""
    ends = np.roll(ring, -1, axis=0)
    crossed = (ring[:, 0] == ends[:, 0]) & (ring[:, 0] > x) & ((ring[:, 1] > y) != (ends[:, 1] > y))
    return bool(crossed.sum() % 2)


def _area(ring: Points) -> float:
    """Return the area a ring encloses, holes not taken off."""
    ends = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * ends[:, 1] - ends[:, 0] * ring[:, 1]).sum())) / 2
