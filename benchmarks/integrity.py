"""Time what proves the files of a run whole, on a million rows, beside `generate`, all in one run; CPU seconds."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from autolabel.plan import plan_file  # noqa: E402
from autolabel.plan.model import Plan, Shard  # noqa: E402
from autolabel.results.checksum import Sum  # noqa: E402
from autolabel.results.shard_file import read_shard, shard_lines  # noqa: E402
from autolabel.results.store import RunStore  # noqa: E402
from benchmarks.scale import EXAMPLE, make_images, make_package, measure, write_spec  # noqa: E402

T = TypeVar("T")


def main(images: int = 20_000, *, rows: int = 1_000_000, folder: Path | None = None) -> float:
    """Print the seconds of every check and of `generate`, and return the share of the checks."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        make_images(place / "photos", images)
        path = [str(make_package(place / "site")), str(EXAMPLE), os.environ.get("PYTHONPATH", "")]
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, path)))
        run = measure(["generate", str(write_spec(place, 1)), "-q"], env)
        checks = time_checks(RunStore(place / "run"), rows)
    for check, seconds in checks.items():
        print(f"{check:>40}: {seconds:7.2f} s")
    total, whole = sum(checks.values()), run["cpu"] / images * rows
    print(f"{f'all checks on {rows:,} rows':>40}: {total:7.2f} s of CPU")
    print(f"{f'generate, from {images:,} images':>40}: {whole:7.0f} s of CPU for {rows:,}")
    print(
        json.dumps({"benchmark": "integrity", "rows": rows, "checks": total, "generate": whole, "share": total / whole})
    )
    print(f"the checks are {total / whole:.1%} of generate")
    return total / whole


def time_checks(store: RunStore, rows: int) -> dict[str, float]:
    """Return the CPU seconds that each check takes, beyond the same work without it, for so many rows."""
    plan = store.read_plan()
    assert plan is not None
    stage, planned = plan.recipe.stages[0], plan.manifest.shards
    count = -(-rows // plan.recipe.shard_size)
    inputs = [b"".join(line + b"\n" for line in store.rows(shard)) for shard in planned]
    found = [store.lines(plan, stage, shard) for shard in planned]
    named: dict[str, Any] = {"plan": plan.digest, "stage": stage}
    written = [
        (shard, b"".join(shard_lines(lines, **named, shard=shard.index)))
        for shard, lines in zip(planned, found, strict=True)
    ]

    def some(kept: Sequence[T]) -> Iterator[T]:
        return islice(cycle(kept), count)

    def seal_plan() -> Iterator[Plan]:
        yield plan_file.decode_plan(plan_file.encode_plan(plan_of(plan, count)), file="plan.json")

    hashed = spent(hashlib.sha256(data) for data in some(inputs))
    sealed = spent(shard_lines(lines, **named, shard=0) for lines in some(found))
    bare = spent([row + b"\n" for row in lines] for lines in some(found))
    proven = spent(read_shard(data, plan=plan, stage=stage, shard=shard) for shard, data in some(written))
    split = spent(data.splitlines() for _, data in some(written))
    summed = spent(deque(Sum().over(lines), maxlen=0) for lines in some(found))
    passed = spent(deque(lines, maxlen=0) for lines in some(found))
    return {
        "inputs, when planned and when labelled": 2 * hashed,
        "shards, when written": sealed - bare,
        "shards, when read": proven - split,
        "ledger, when written": summed - passed,
        "plan, written and read": spent(seal_plan()),
    }


def plan_of(plan: Plan, count: int) -> Plan:
    """Return a plan with so many shards."""
    from msgspec.structs import replace

    shards = tuple(Shard(index, 64, index * 64, 64, "0" * 64) for index in range(count))
    return replace(plan, manifest=replace(plan.manifest, shards=shards, rows=64 * count))


def spent(work: Iterable[object]) -> float:
    """Return the CPU seconds that it takes to do pieces of work; keeps none of what they make."""
    before = time.process_time()
    deque(work, maxlen=0)
    return time.process_time() - before


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to write; the temporary folder unless given")
    asked = parser.parse_args()
    main(asked.images, rows=asked.rows, folder=asked.folder)
