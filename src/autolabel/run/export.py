"""Hand a run's labels to exporters; each one's folder is published whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from autolabel.data.split import split_of
from autolabel.errors import DataError, SpecError
from autolabel.plan.model import Choice, Plan
from autolabel.registry import Registry
from autolabel.run.ledger import Ledger
from autolabel.run.shard import make
from autolabel.run.store import RunStore, publish_folder
from autolabel.spec.scalar import resolve
from autolabel.strategies import Exporter
from autolabel.types import Labels


def export(plan: Plan, choice: Choice, *, store: RunStore, registry: Registry) -> list[Path]:
    """Write one exporter's files below ``results_dir/<its name>``, a folder a split where the spec asks for splits."""
    exporter = make(choice, "exporter", registry)
    assert isinstance(exporter, Exporter)
    target = store.root / choice.type
    written: list[Path] = []
    with publish_folder(target, name="export") as folder:
        for split, keep in splits(plan.output.get("split")):
            out = folder / split
            out.mkdir(parents=True, exist_ok=True)
            ledger = Ledger(store.labels, keep=keep, change=filtered(plan.output.get("filter")))
            written += [target / path.relative_to(folder) for path in exporter.export(ledger, plan.classes, out)]
    return written


def splits(split: Mapping[str, Any] | None) -> Iterator[tuple[str, Callable[[Labels], bool] | None]]:
    """Yield each split's name with what decides who belongs to it; one nameless split where there is none."""
    if not split:
        yield "", None
        return
    seed = split.get("seed", 0)
    fractions = {name: float(share) for name, share in split.items() if name != "seed"}
    for name in fractions:
        yield name, partial(belongs, name, fractions, seed)


def belongs(name: str, fractions: Mapping[str, float], seed: int, labels: Labels) -> bool:
    """Return whether an image belongs to the split ``name``."""
    return split_of(labels.image.id, fractions=fractions, seed=seed) == name


def filtered(limits: Mapping[str, Any] | None) -> Callable[[Labels], Labels] | None:
    """Return what drops the boxes outside the spec's size limits; None where there are no limits."""
    if not limits:
        return None
    return lambda labels: replace(labels, instances=labels.instances.take(within(labels, limits)))


def within(labels: Labels, limits: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return which boxes keep to the limits: sides in pixels, area as a share of the image."""
    boxes = labels.instances.boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    height, width = labels.image.size
    share = sides.prod(axis=1) / max(1, height * width)
    keep = np.ones(len(boxes), bool)
    keep &= sides.min(axis=1, initial=np.inf) >= limits.get("min_size", 0)
    keep &= sides.max(axis=1, initial=0) <= limits.get("max_size", np.inf)
    keep &= share >= limits.get("min_area", 0)
    keep &= share <= limits.get("max_area", 1)
    return keep


def export_run(run: Path, name: str, params: Sequence[str], *, registry: Registry) -> list[Path]:
    """Write a finished run's labels with one exporter; ``params`` are ``key=value`` with YAML values.

    Raises SpecError for parameters that the exporter does not take, DataError where ``run`` is not a finished run.
    """
    store = RunStore(run)
    plan = store.read_plan()
    if plan is None or not store.labels.exists():
        raise DataError(f"{run}: not a finished run", hint="run `autolabel generate` first")
    entry = registry.get("exporter", name)
    if getattr(entry.strategy, "needs", "boxes") == "masks" and not plan.masks:
        raise DataError(f"{run}: {name!r} needs masks, and this run has none")
    given = dict(parameter(text) for text in params)
    try:
        checked = entry.strategy.Params.model_validate(given, context={"root": Path.cwd()})
    except ValidationError as error:
        raise SpecError(
            "; ".join(f"{name}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        ) from error
    choice = Choice(type=name, package=entry.package, version=entry.version, params=checked.model_dump(mode="json"))
    with store.lock():
        return export(plan, choice, store=store, registry=registry)


def parameter(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise SpecError(f"{text!r}: expected key=value")
    return key, resolve(value)
