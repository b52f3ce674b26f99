"""Density-based clustering of overlapping boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np
from pydantic import Field

from autolabel.strategies import Aggregator, Strategy
from autolabel.types import Instances, Round
from autolabel.types.boxes import Float32, Float64
from autolabel.types.neighbours import SMALLEST, Neighbours, overlaps
from autolabel_aggregators.precedence import Index, precedence

if TYPE_CHECKING:
    import numpy.typing as npt

_Groups: TypeAlias = "npt.NDArray[np.int32] | None"
_WIDEST = 0.99
_ROUNDING = 1e-9


class InLooks(Strategy.Params):
    """A number of looks."""

    looks: int = Field(ge=1, description="In how many looks; without looks, how many boxes.")


class Dbscan(Aggregator):
    """Cluster boxes by DBSCAN (Ester et al. 1996) at the distance 1 - IoU, and merge each cluster into one box."""

    name = "dbscan"

    class Params(Aggregator.Params):
        """The parameters of the clustering."""

        eps: float = Field(
            default=0.5, ge=0, le=_WIDEST, description="Two boxes are neighbours if 1 - IoU is at most this."
        )
        min_samples: Annotated[int, Field(ge=1)] | InLooks = Field(
            default=1,
            description="How many neighbours, itself included, a box needs to found a cluster, or {looks: N}: in how "
            "many looks it needs some; above 1, boxes that end in no cluster are dropped.",
        )
        across_labels: bool = Field(
            default=False, description="Whether boxes of different labels can merge, under the label of the best."
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return one box per cluster, best first: the score-weighted mean of the cluster's boxes.

        A merged box has the highest score and the earliest round of its cluster. Label, mask and given fields are those
        of the best box: the highest score, then the earliest round, then the first position. A ``round.nms_threshold``
        t sets ``eps = 1 - t``, at most 0.99; 0 returns the input unchanged.
        """
        threshold = round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        eps = self.params.eps if threshold is None else min(1 - threshold, _WIDEST)
        ordered = instances.take(precedence(instances))
        groups = None if self.params.across_labels else ordered.labels
        least = self.params.min_samples
        if isinstance(least, int):
            return _merge(ordered, clusters(ordered.boxes, eps, min_samples=least, groups=groups))
        if ordered.looks is None:
            return _merge(ordered, clusters(ordered.boxes, eps, min_samples=least.looks, groups=groups))
        return _merge(ordered, _seen_clusters(ordered, eps, looks=least.looks, groups=groups))


def _seen_clusters(ordered: Instances, eps: float, *, looks: int, groups: _Groups) -> Index:
    """Return the cluster of each of N boxes, like ``clusters``; a core point has neighbours in ``looks`` looks.

    A box next to core points of several clusters joins the cluster of the best core point.
    """
    _, look_of = np.unique(ordered.looks or (), return_inverse=True)
    i, j, iou = overlaps(ordered.boxes, _lowest_iou(eps), groups=groups)
    near, itself = 1 - iou <= eps, np.arange(len(ordered))
    i, j = np.concatenate([i[near], j[near], itself]), np.concatenate([j[near], i[near], itself])
    seen = np.unique(np.column_stack([i, look_of[j]]), axis=0)[:, 0]
    core = np.bincount(seen, minlength=len(ordered)) >= looks
    both = core[i] & core[j]
    roots = np.where(core, _join(itself.copy(), i[both], j[both]), len(ordered))
    border = ~core[i] & core[j]
    best = np.full(len(ordered), len(ordered))
    np.minimum.at(best, i[border], j[border])
    reached = best < len(ordered)
    roots[reached] = roots[best[reached]]
    return np.where(roots < len(ordered), roots, -1)


def clusters(boxes: Float32, eps: float, *, min_samples: int, groups: _Groups = None) -> Index:
    """Return the cluster (N,) of each of (N, 4) boxes, -1 for noise; with ``groups``, no cluster spans two groups.

    The partition is that of scikit-learn's DBSCAN on the matrix 1 - IoU. Up to ``min_samples=2`` every box that has a
    neighbour is a core point, so that clusters are connected components and scikit-learn is not needed.
    """
    if min_samples <= 2:
        roots = _components(boxes, eps, groups)
        sizes = np.bincount(roots, minlength=len(roots))
        return np.where(sizes[roots] >= min_samples, roots, -1)
    return scikit_clusters(boxes, eps, min_samples=min_samples, groups=groups)


def _components(boxes: Float32, eps: float, groups: _Groups) -> Index:
    """Return, for each of (N, 4) boxes, the lowest index in its connected component (edges: distance <= ``eps``)."""
    near = Neighbours(boxes, _lowest_iou(eps), groups=groups)
    roots = np.arange(len(boxes))
    waiting = near.order
    while len(waiting):
        answered, i, j, iou = near.search(waiting)
        close = (i < j) & (1 - iou <= eps)
        roots = _join(roots, i[close], j[close])
        waiting = waiting[answered:]
    return roots


def _join(roots: Index, i: Index, j: Index) -> Index:
    """Link the components of ``i`` to those of ``j``; each box points at the lowest index of its component."""
    while True:
        low, high = np.minimum(roots[i], roots[j]), np.maximum(roots[i], roots[j])
        apart = low != high
        if not apart.any():
            return roots
        np.minimum.at(roots, high[apart], low[apart])
        while not np.array_equal(flat := roots[roots], roots):
            roots = flat


def scikit_clusters(boxes: Float32, eps: float, *, min_samples: int, groups: _Groups = None) -> Index:
    """Return scikit-learn's DBSCAN labels (N,) of (N, 4) boxes, -1 for noise, from overlapping pairs only."""
    from scipy.sparse import csr_matrix
    from sklearn.cluster import DBSCAN

    i, j, iou = overlaps(boxes, _lowest_iou(eps), groups=groups)
    itself = np.arange(len(boxes))
    rows, columns = np.concatenate([i, j, itself]), np.concatenate([j, i, itself])
    distances: Float64 = np.concatenate([1 - iou, 1 - iou, np.zeros(len(boxes))])
    order = np.lexsort((columns, distances, rows))  # rows sorted by distance, zeros explicit
    starts = np.searchsorted(rows[order], np.arange(len(boxes) + 1))
    matrix = csr_matrix((distances[order], columns[order], starts), shape=(len(boxes), len(boxes)))
    found = DBSCAN(eps=max(eps, np.finfo(np.float64).tiny), min_samples=min_samples, metric="precomputed").fit(matrix)
    labels: Index = found.labels_.astype(np.int64)
    return labels


def _lowest_iou(eps: float) -> float:
    """Return a lower bound, safe against rounding, of the IoU of any pair within distance ``eps``."""
    return max(1 - eps - _ROUNDING, SMALLEST)


def _merge(ordered: Instances, cluster: Index) -> Instances:
    """Merge each cluster of N instances, sorted by precedence, into one; -1 in ``cluster`` (N,) drops an instance."""
    members = ordered.take(cluster >= 0)
    _, best, which = np.unique(cluster[cluster >= 0], return_index=True, return_inverse=True)
    totals = np.bincount(which, weights=members.scores)
    weights = np.where(totals[which] > 0, members.scores, 1.0)  # if all scores are 0, all boxes get equal weight
    sums = np.stack([np.bincount(which, weights=weights * side) for side in members.boxes.T], axis=1)
    boxes = sums / np.bincount(which, weights=weights)[:, None]
    rounds = np.full(len(best), np.iinfo(np.int16).max, np.int16)
    np.minimum.at(rounds, which, members.rounds)
    merged = replace(members.take(best), boxes=boxes.astype(np.float32), rounds=rounds)
    return merged.take(np.argsort(best))
