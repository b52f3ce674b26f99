"""Time the aggregators of 100 to 100,000 boxes beside the full matrix of overlaps that others compute."""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from autolabel.types.boxes import Float32
from autolabel_aggregators.dbscan import Dbscan
from autolabel_aggregators.nms import Nms

COUNTS = (100, 300, 900, 10_000, 100_000)
DENSE = 10_000
"""Beyond, a matrix of float32 alone needs 40 GB."""
COPIES = 5
ROUND = Round(index=0, conf_threshold=0.1)
NMS = 0.7
EPS = 0.5
Index = npt.NDArray[np.intp]


def crowd(count: int) -> Instances:
    """Return objects of 20 to 400 pixels in an image of 4000 x 4000, each found five times with a little jitter."""
    random = np.random.default_rng(count)
    objects = max(1, count // COPIES)
    centre = random.uniform(0, 4000, (objects, 2))
    side = np.exp(random.uniform(np.log(20), np.log(400), (objects, 2)))
    which = np.arange(count) % objects
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)[which]
    boxes += random.normal(0, 0.06, boxes.shape) * np.tile(side, 2)[which]
    return Instances.build(boxes, scores=random.permutation(count) / count, labels=np.zeros(count))


def matrix(boxes: Float32) -> Float32:
    """Return all overlaps, (N, N) float32, with three such arrays in memory at most."""
    inside = sides(boxes[:, 0], boxes[:, 2])
    inside *= sides(boxes[:, 1], boxes[:, 3])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    union = area[:, None] + area[None, :]
    union -= inside
    inside /= union
    return inside


def sides(low: Float32, high: Float32) -> Float32:
    """Return how far all pairs of N intervals overlap, (N, N)."""
    shared = np.minimum(high[:, None], high[None, :])
    shared -= np.maximum(low[:, None], low[None, :])
    return np.maximum(shared, 0, out=shared)


def dense_nms(found: Instances) -> int:
    """Suppress greedily on the full matrix; return how many boxes are kept."""
    order = np.argsort(-found.scores)
    overlap = matrix(found.boxes[order]) > NMS
    kept = np.ones(len(order), np.bool_)
    for place in range(len(order)):
        if kept[place]:
            kept[place + 1 :] &= ~overlap[place, place + 1 :]
    return len(found.take(order[kept]))


def dense_dbscan(found: Instances) -> int:
    """Return how many clusters scikit-learn finds on the full matrix."""
    from sklearn.cluster import DBSCAN

    distances = matrix(found.boxes)
    np.subtract(1, distances, out=distances)
    labels = DBSCAN(eps=EPS, min_samples=1, metric="precomputed").fit(distances).labels_
    return int(labels.max()) + 1


def measure(work: Callable[[Instances], int], found: Instances, repeats: int) -> dict[str, float]:
    """Return the best CPU seconds of several calls, the peak of one more in MB, and how many boxes it left."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        left = work(found)
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    work(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"seconds": round(min(seconds), 5), "peak_mb": round(peak / 1e6, 2), "left": left}


def ours(aggregator: Aggregator) -> Callable[[Instances], int]:
    """Return a call that aggregates and counts."""
    return lambda found: len(aggregator.aggregate(found, ROUND))


def compare(name: str, mine: Aggregator, peer: Callable[[Instances], int], count: int) -> dict[str, object]:
    """Measure both on the same boxes, one after the other, and print a row."""
    found = crowd(count)
    repeats = 30 if count < DENSE // 10 else 3 if count <= DENSE else 1
    row: dict[str, object] = {"aggregator": name, "boxes": count}
    sparse = measure(ours(mine), found, repeats)
    text = f"{name:7} {count:7} {sparse['seconds']:10.5f} {sparse['peak_mb']:9.1f} {sparse['left']:7}"
    if count <= DENSE:
        dense = measure(peer, found, repeats if count < DENSE else 2)
        faster, smaller = dense["seconds"] / sparse["seconds"], dense["peak_mb"] / sparse["peak_mb"]
        text += f" {dense['seconds']:10.5f} {dense['peak_mb']:9.1f} {dense['left']:7} {faster:8.1f}x {smaller:8.1f}x"
        row |= {"matrix": dense, "faster": round(faster, 2), "smaller": round(smaller, 2)}
    print(text, flush=True)
    return row | {"autolabel": sparse}


def main() -> None:
    """Print a table, then the same as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max", type=int, default=COUNTS[-1], help="the largest number of boxes")
    limit = parser.parse_args().max
    mine = {"nms": Nms(Nms.Params(threshold=NMS)), "dbscan": Dbscan(Dbscan.Params(eps=EPS))}
    peers = {"nms": dense_nms, "dbscan": dense_dbscan}
    for name in mine:  # the first call of each pays for its imports
        ours(mine[name])(crowd(COUNTS[0])), peers[name](crowd(COUNTS[0]))
    print(f"{'':7} {'':7} {'autolabel':>28} {'full matrix':>28}")
    columns = f"{'CPU s':>10} {'peak MB':>9} {'left':>7}"
    print(f"{'':7} {'boxes':>7} {columns} {columns}   faster  smaller")
    rows = [compare(name, mine[name], peers[name], count) for name in mine for count in COUNTS if count <= limit]
    print(json.dumps({"benchmark": "aggregation", "rows": rows}))


if __name__ == "__main__":
    main()
