"""Choose the precision of labelers that leave it open: ``precision: auto``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from autolabel.plan.model import Recipe, ResolvedStrategy, Stage

_UNITS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX"}
"""Flags of processors that multiply bfloat16 faster than float32, with their names."""
_AMPERE = 8
"""The first generation of CUDA cards that multiplies bfloat16."""


def with_precision(recipe: Recipe, workers: Sequence[str]) -> tuple[Recipe, tuple[str, ...]]:
    """Return a recipe in which no precision is left open, and a notice that says what was chosen and why.

    ``workers`` are the devices; there are none if a cluster gives them.
    """
    if not any(_open(one) for stage in recipe.stages for one in (stage.labeler, *stage.members)):
        return recipe, ()
    precision, why = choose_precision(workers)
    stages = tuple(_settled(stage, precision) for stage in recipe.stages)
    return replace(recipe, stages=stages), (f"precision: auto takes {precision}: {why}",)


def choose_precision(workers: Sequence[str]) -> tuple[str, str]:
    """Return ``bfloat16`` if all devices multiply it faster, otherwise ``float32``, and the reason."""
    if not workers:
        return "float32", "the cluster decides which machines take part"
    if all(name == "cpu" for name in workers):
        units = [name for flag, name in _UNITS.items() if flag in processor_flags()]
        if units:
            return "bfloat16", f"the processor has {units[0]}"
        return "float32", "the processor has neither AVX512-BF16 nor AMX"
    if all(name.startswith("cuda") for name in workers):
        if min(_generation(name) for name in set(workers)) >= _AMPERE:
            return "bfloat16", "the GPU multiplies bfloat16 faster"
        return "float32", "the GPU does not multiply bfloat16"
    return "float32", f"bfloat16 is not used on {', '.join(sorted(set(workers)))}"


def processor_flags() -> frozenset[str]:
    """Return what Linux says that the processor has; nothing on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def _generation(device: str) -> int:
    """Return the major number of a card's compute capability."""
    import torch

    return torch.cuda.get_device_capability(device)[0]


def _open(strategy: ResolvedStrategy) -> bool:
    return strategy.params.get("precision") == "auto"


def _settled(stage: Stage, precision: str) -> Stage:
    members = tuple(_with(member, precision) for member in stage.members)
    return replace(stage, labeler=_with(stage.labeler, precision), members=members)


def _with(strategy: ResolvedStrategy, precision: str) -> ResolvedStrategy:
    return replace(strategy, params={**strategy.params, "precision": precision}) if _open(strategy) else strategy
