"""Validate a plan from a file, before its names are used as file names and its numbers in computations."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from autolabel.data.split import TOLERANCE
from autolabel.plan.model import Execution, Manifest, Plan, Recipe, Split

_STAGE = re.compile(r"\d+-\w[\w .+-]*")
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
_MOST_PIXELS = 10_000_000_000
_PARTS = frozenset({"train", "val", "test"})


def faults_of(plan: Plan) -> Iterator[str]:
    """Yield the faults of a plan, in words."""
    yield from _of_recipe(plan.recipe)
    yield from _of_manifest(plan.manifest)
    yield from _of_execution(plan.execution)
    if plan.outputs.split is not None:
        yield from _of_split(plan.outputs.split)


def _of_recipe(recipe: Recipe) -> Iterator[str]:
    if not recipe.stages:
        yield "names no stage"
    for index, stage in enumerate(recipe.stages):
        if stage.index != index or not _STAGE.fullmatch(stage.name):
            yield f"stage {index} is called {stage.name!r}"
    if not 1 <= recipe.max_pixels <= _MOST_PIXELS:
        yield f"max_pixels is {recipe.max_pixels}"
    threads = 1 if recipe.threads is None else recipe.threads
    for name, count in (("batch_size", recipe.batch_size), ("shard_size", recipe.shard_size), ("threads", threads)):
        if count < 1:
            yield f"{name} is {count}"
    if recipe.value_range is not None and not recipe.value_range[0] < recipe.value_range[1]:
        yield f"value_range is {list(recipe.value_range)}"


def _of_manifest(manifest: Manifest) -> Iterator[str]:
    end = 0
    for index, shard in enumerate(manifest.shards):
        if shard.index != index or shard.offset < end or shard.rows < 0 or shard.bytes < shard.rows:
            yield f"shard {index} is out of place"  # an extension may leave rows between shards
        end = shard.offset + shard.bytes
    if sum(shard.rows for shard in manifest.shards) != manifest.rows:
        yield f"its shards do not hold its {manifest.rows:,} rows"
    categories = manifest.given.get("categories", [])
    if not isinstance(categories, list):
        yield "the categories of its given boxes are not a list"
        return
    for number, one in enumerate(categories):
        if not _is_category(one):
            yield f"category {number} of its given boxes has an id that is not a whole number"


def _is_category(one: Any) -> bool:
    return isinstance(one, dict) and type(one.get("id")) is int


def _of_execution(execution: Execution) -> Iterator[str]:
    if (execution.executor == "ray") != (execution.cluster is not None):
        yield f"its executor is {execution.executor}, which does not go with its cluster"
    elif execution.cluster is None and not execution.workers:
        yield "names no worker"
    for device in execution.workers:
        if not _DEVICE.fullmatch(device):
            yield f"{device!r} is not a device"
    for name, count in (("threads", execution.threads), ("num_workers", execution.num_workers)):
        if count < 1:
            yield f"{name} is {count}"
    if execution.max_failures < 0:
        yield f"max_failures is {execution.max_failures}"


def _of_split(split: Split) -> Iterator[str]:
    for name, share in split.fractions.items():
        if name not in _PARTS:
            yield f"{name!r} is not a part of a split"
        if not 0 <= share <= 1:
            yield f"the share of {name!r} in its split is {share:g}"
    if not math.isclose(sum(split.fractions.values()), 1, abs_tol=TOLERANCE):
        yield "the shares of its split do not add up to 1"
