"""Two workers on one device: their rate beside one worker's, and whether the labels are the same bytes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.executors import measured
from benchmarks.gpu import made
from benchmarks.gpu.part import Row, Setting


def measure(setting: Setting) -> Iterator[Row]:
    """Yield images a second of ``generate`` with one and with two workers."""
    digests = []
    for workers in (1, 2):
        out = Path(setting.out) / f"workers-{workers}"
        shutil.rmtree(out, ignore_errors=True)
        rate = measured(_spec(setting, workers), out)["rate"]
        digests.append(hashlib.sha256((out / "labels.jsonl").read_bytes()).hexdigest())
        yield {"case": f"tiny, {workers} worker{'s' * (workers > 1)}", "images_a_second": rate}
    yield {"case": "one worker and two give the same bytes", "holds": len(set(digests)) == 1}


def _spec(setting: Setting, workers: int) -> dict[str, Any]:
    photos = Path(setting.out) / "workers-photos"
    photos.mkdir(parents=True, exist_ok=True)
    files = sorted(made.SHIPPED.iterdir())
    for index in range(12 if setting.reduced else 240):
        shutil.copyfile(files[index % len(files)], photos / f"{index:03d}.jpg")
    labeler: dict[str, Any] = {"type": "grounding_dino", "checkpoint": str(made.TINY)}
    if setting.reduced:
        labeler |= {"short_side": 96, "long_side": 160}
    return {
        "devices": [int(setting.device.partition(":")[2] or 0)] if setting.cuda else "cpu",
        "data": {"images": [str(photos)], "classes": list(made.CELLS.phrases)},
        "stages": [{"labeler": labeler}],
        "run": {
            "executor": "processes",
            "workers_per_device": workers,
            "num_workers": 4,
            "batch_size": 2 if setting.reduced else 8,
            "shard_size": 2 if setting.reduced else 16,
        },
    }
