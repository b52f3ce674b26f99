"""What many more images on many GPUs would need, computed from what was measured on a few."""

from __future__ import annotations

from dataclasses import dataclass

from autolabel.external_sort import BLOCK, CHUNK, OVERHEAD

LIST_PAGE = 1000
"""Keys that an object store returns to one request."""
SHARD_BYTES = 150
"""What one shard takes in the memory of whoever has read the plan: a struct of four numbers, and its place."""

SORTING = 3
"""How many times CHUNK sorting takes, beside the rest: seen when a million rows were planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one image costs, measured: seconds of one process, bytes on disk, megabytes of the driver."""

    plan: float
    """Seconds of CPU."""
    coco: float
    report: float
    input_bytes: float
    ledger_bytes: float
    plan_bytes: float
    """Bytes of plan.json for a shard."""
    driver_mb: float


def project(rates: Rates, *, images: int, gpus: int, per_second: float, shard_size: int) -> dict[str, str]:
    """Return what ``images`` need, by name; ``per_second`` is what one GPU labels, which is taken, not measured."""
    shards = -(-images // shard_size)
    runs = images * (rates.input_bytes + OVERHEAD) / CHUNK
    driver = rates.driver_mb + (SORTING * CHUNK + shards * SHARD_BYTES + runs * BLOCK) / 1e6
    return {
        "planning, once, one process": hours(images * rates.plan),
        f"labeling, {gpus} GPUs at {per_second:g} images a second": hours(images / (gpus * per_second)),
        "each pass over the labels (coco)": hours(images * rates.coco),
        "report": hours(images * rates.report),
        "inputs.jsonl": size(images * rates.input_bytes),
        "labels.jsonl, and all shards together": f"{size(images * rates.ledger_bytes)} each",
        "shards of a stage": f"{shards:,} files",
        "plan.json, read by every worker": size(shards * rates.plan_bytes),
        "memory of the driver": size(driver * 1e6),
        "sorted pieces that planning merges": f"{runs:,.0f}",
        "store: list requests": f"{images / LIST_PAGE:,.0f}",
        "store: reads of images, header and whole": f"{2 * images:,}",
        "store: shards put and read again": f"{2 * shards:,}",
        "store: requests a second while labeling": f"{gpus * per_second * (1 + 1 / shard_size):,.0f}",
    }


def hours(seconds: float) -> str:
    """Return a duration in words."""
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds / 60:,.1f} min"


def size(count: float) -> str:
    """Return bytes in words."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"
