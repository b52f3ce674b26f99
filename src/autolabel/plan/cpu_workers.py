"""Choose how many workers label on a CPU, and how many threads each has, where the spec leaves it open."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapreplace

from msgspec.structs import replace

from autolabel.plan import machine
from autolabel.plan.model import Execution, Manifest, Recipe
from autolabel.spec.model import RunSpec

_LEAST_ROWS = 16
"""The rows for which starting another worker pays: it takes about three seconds, in which the shipped checkpoint labels
25 photos, and a larger network a few."""
_WORKER = 1_000_000_000
"""Bytes of a worker without its network: libraries, decoded images."""
_WEIGHTS = 4
"""How often weights are counted: a Swin-T with 0.7 GB of them takes 3.5 GB, for four images of 800x1333."""
_SHARE = 0.75
"""The share of the memory that workers may take."""
_GAIN = 0.68
"""The rate of a worker grows with this power of its threads: two threads do 1.6 times the work of one."""
_MANY = 4
"""Shards for each worker from which on it does not matter how they are distributed."""


def with_cpu_workers(execution: Execution, run: RunSpec, recipe: Recipe, manifest: Manifest) -> Execution:
    """Return an execution on one CPU with as many workers as cores, memory and rows allow, and threads for each.

    The cores are divided evenly, so that many workers have one thread each: two workers with one thread do 1.2 to 1.7
    times the work of one with two. Depends on the plan's rows and on the machine, not on what else runs there, so that
    the same command on the same machine gives the same bytes. Returns an execution unchanged where the spec says the
    number of workers or ``inline``, on other devices, and where images are sent to an endpoint, whose requests are
    limited by its own settings.
    """
    if (
        run.workers_per_device is not None
        or run.executor in ("inline", "ray")
        or execution.workers != ("cpu",)
        or any(stage.sends_to for stage in recipe.stages)
    ):
        return execution
    cores = machine.cores()
    most = (cores // (run.threads or 1), len(manifest.shards), manifest.rows // _LEAST_ROWS, _fitting(recipe))
    count = _quickest([shard.rows for shard in manifest.shards], max(1, min(most)), cores=cores, threads=run.threads)
    if count == 1:
        return execution
    return replace(
        execution,
        executor="processes",
        workers=("cpu",) * count,
        threads=run.threads or cores // count,
        chosen=True,
    )


def _fitting(recipe: Recipe) -> int:
    """Return how many workers fit into memory, each with the heaviest stage; a stage's workers end before the next."""
    there = machine.memory()
    if there is None:
        return 1
    weights = max(sum(file.bytes for file in stage.weights.files) for stage in recipe.stages)
    return int(_SHARE * there // (_WORKER + _WEIGHTS * weights))


def _quickest(shards: Sequence[int], most: int, *, cores: int, threads: int | None) -> int:
    """Return how many workers, at most ``most``, are done first with shards of so many rows.

    Few shards may leave workers idle: of two shards with 64 rows and 1, one worker does both sooner.
    """
    if len(shards) >= _MANY * most:
        return most

    def ends(workers: int) -> float:
        busy = [0] * workers
        for rows in shards:
            heapreplace(busy, busy[0] + rows)
        return float(max(busy) / (threads or cores // workers) ** _GAIN)

    return min(range(1, most + 1), key=ends)
