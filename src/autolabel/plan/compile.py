"""Compile a validated spec into an execution plan."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

import autolabel
from autolabel import weights
from autolabel.data.collect import collect
from autolabel.data.inputs import Input
from autolabel.data.sources import Results, sources
from autolabel.detectors import Consensus, told_apart
from autolabel.plan import devices, model
from autolabel.plan.census import Census, forwards
from autolabel.plan.checks import (
    check_classes,
    check_exports,
    check_kinds,
    check_licences,
    check_looks,
    check_members,
    check_weights,
)
from autolabel.plan.execution import executed
from autolabel.plan.files import check_files
from autolabel.plan.identity import portable
from autolabel.plan.model import VERSION, Choice, Execution, LookPlan, Plan, Stage, WeightFile, Weights, digest
from autolabel.plan.shards import Cut, Key, cut
from autolabel.registry import Registry
from autolabel.spec import choice as spec_choice
from autolabel.spec.looks import LooksSpec
from autolabel.spec.model import Spec
from autolabel.spec.stage import StageSpec
from autolabel.spec.thresholds import thresholds_of
from autolabel.storage import Location, at
from autolabel.strategies import Detector, Labeler
from autolabel.types import Round, Size
from autolabel.types.ontology import Ontology

TOGETHER = Choice(type=Consensus.name, package="autolabel-vision", version=autolabel.__version__, params={})
"""What stands for several labelers of a stage."""
OURS = frozenset({"stages", "logs", "report", "images_annotated"})
"""Folders that a run writes besides its exports."""
DEFAULT_ROUND = Round(index=0, conf_threshold=0.5)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan with the rows that it labels."""

    plan: Plan
    inputs: Cut
    key: Callable[[Size], Key]
    """The first stage's batch key, by which rows that are added later are sorted."""
    shard_size: int


@dataclass(frozen=True, slots=True)
class Decided:
    """What a spec decides before any image is listed."""

    labelers: Sequence[Labeler]
    stages: tuple[Stage, ...]
    execution: Execution


def compile_plan(spec: Spec, *, registry: Registry, limit: int | None = None) -> Compiled:
    """Decide everything a run does: rounds, devices, batches, shards, weights.

    ``limit`` keeps the first rows by image id and writes below ``results_dir/first-N``. Reads image headers, weight
    files for their hashes, never a model. Raises SpecError, MachineError, WeightsError or DataError.
    """
    decided = decide(spec, registry=registry)
    results = Results(folder=at(spec.results_dir), names=frozenset({*OURS, *(choice.name for choice in spec.export)}))
    inputs = collect(spec.data, max_pixels=spec.run.max_pixels, threads=spec.run.num_workers, results=results)
    ontology = spec.data.ontology()
    counting = [forwards(*pair, ontology) for pair in zip(decided.labelers, decided.stages, strict=True)]
    census = Census(inputs.classes, counting)
    rows = census.count(inputs.rows if limit is None else first(inputs.rows, limit))
    key, shard_size = decided.labelers[0].batch_key, spec.run.shard_size
    ordered = cut(rows, key=key, shard_size=shard_size)
    plan = without_rows(spec, decided, classes=inputs.classes, roots=inputs.roots, limit=limit)
    plan = replace(
        plan,
        digest=digest([VERSION, plan.results, str(census.fingerprint)]),
        inputs=str(census.fingerprint),
        images=census.images,
        rows=census.rows,
        unusable=census.unusable,
        stages=with_passes(plan.stages, census.most_passes()),
        shards=ordered.shards,
        contents=str(census.contents),
        passed_over=dict(sorted(inputs.passed_over.counts.items())),
        given=inputs.given,
        notices=(*plan.notices, *inputs.remarks()),
    )
    return Compiled(plan, ordered, key, shard_size)


def compile_around(spec: Spec, there: Plan, *, registry: Registry, limit: int | None = None) -> Plan:
    """Decide everything that a run does with the rows of another plan: lists no images, reads no headers.

    Classes that captions or boxes name are those of that plan. Raises as ``compile_plan`` does.
    """
    decided = decide(spec, registry=registry)
    classes = there.classes if spec.data.classes is None else tuple(spec.data.classes)
    roots = {source.prefix: str(source.root) for source in sources(spec.data.images)}
    plan = without_rows(spec, decided, classes=classes, roots=roots, limit=limit)
    passes = [stage.most_passes for stage in there.stages]
    return replace(
        plan,
        version=there.version,
        digest=there.digest,
        extends=there.extends,
        inputs=there.inputs,
        images=there.images,
        rows=there.rows,
        unusable=there.unusable,
        stages=with_passes(plan.stages, passes) if len(passes) == len(plan.stages) else plan.stages,
        shards=there.shards,
        contents=there.contents,
        passed_over=there.passed_over,
        given=there.given,
    )


def decide(spec: Spec, *, registry: Registry) -> Decided:
    """Check what can be checked and decide what can be decided before any image is listed."""
    check_files(spec)
    check_members(spec)
    check_looks(spec)
    labelers = [stage.make() for stage in spec.stages]
    check_kinds(spec, labelers)
    check_classes(spec, labelers)
    check_weights(spec, labelers)
    execution = executed(spec)
    stages = tuple(compile_stage(spec, index, labeler, registry=registry) for index, labeler in enumerate(labelers))
    check_licences(spec, stages)
    check_exports(spec, stages)
    return Decided(labelers, stages, execution)


def without_rows(
    spec: Spec, decided: Decided, *, classes: tuple[str, ...], roots: dict[str, str], limit: int | None
) -> Plan:
    """Return the plan of a spec as far as it does not depend on which rows there are."""
    ontology = spec.data.ontology()
    output = spec.output.model_dump(mode="json", exclude_none=True)
    if spec.output.thresholds is not None:
        output["thresholds"] = thresholds_of(spec, classes=classes)
    asked = spec.devices if "devices" in spec.model_fields_set else None
    return Plan(
        digest="",
        results=decisive(spec, decided.stages, classes, ontology),
        autolabel=autolabel.__version__,
        inputs="",
        images=0,
        rows=0,
        unusable=0,
        classes=classes,
        stages=decided.stages,
        roots=roots,
        shards=(),
        batch_size=spec.run.batch_size,
        max_pixels=spec.run.max_pixels,
        value_range=spec.data.value_range,
        results_dir=str(place_of(spec, limit=limit)),
        execution=decided.execution,
        exports=tuple(chosen(choice) for choice in spec.export),
        output=output,
        report=spec.report,
        visualize=spec.visualize,
        notices=(*spec.notices, *devices.fallback(asked, decided.execution.workers)),
        ontology=ontology,
    )


def place_of(spec: Spec, *, limit: int | None = None) -> Location:
    """Return where a spec's results go."""
    return at(spec.results_dir) / ("" if limit is None else f"first-{limit}")


def with_passes(stages: Iterable[Stage], passes: Iterable[int | None]) -> tuple[Stage, ...]:
    """Return stages that say how many forward passes each may make."""
    return tuple(replace(stage, most_passes=count) for stage, count in zip(stages, passes, strict=True))


def decisive(spec: Spec, stages: Sequence[Stage], classes: Sequence[str], ontology: Ontology) -> dict[str, Any]:
    """Return what changes a run's labels, besides its inputs, as plain JSON: what the digest covers."""
    covered: dict[str, Any] = model.plain(
        {
            "autolabel": autolabel.__version__,
            "classes": classes,
            **({"ontology": ontology} if ontology else {}),
            "stages": [portable(stage) for stage in stages],
            "batch_size": spec.run.batch_size,
            "shard_size": spec.run.shard_size,
            "max_pixels": spec.run.max_pixels,
            **({"value_range": spec.data.value_range} if spec.data.value_range else {}),
            "threads": spec.run.threads,
        }
    )
    return covered


def first(rows: Iterable[Input], limit: int) -> list[Input]:
    """Return the ``limit`` first rows by (image, caption)."""
    return heapq.nsmallest(limit, rows, key=lambda row: (row.image, row.caption_index))


def compile_stage(spec: Spec, index: int, labeler: Labeler, *, registry: Registry) -> Stage:
    """Write out a stage: literal rounds, parameters, hashes of weights."""
    written = spec.stages[index]
    choice = chosen(written.choices[0]) if len(written.choices) == 1 else TOGETHER
    common: dict[str, Any] = {
        "index": index,
        "name": f"{index}-{choice.type}",
        "labeler": choice,
        "weights": weights_of(labeler),
        "gives": labeler.gives,
        "ask": written.ask,
    }
    if not isinstance(labeler, Detector):
        return Stage(**common)
    rounds = literal_rounds(written)
    aggregator = chosen(written.aggregator) if written.aggregator else default_aggregator(registry)
    several = len(written.choices) > 1
    return Stage(
        **common,
        rounds=rounds,
        aggregator=aggregator,
        members=tuple(chosen(choice) for choice in written.choices) if several else (),
        vote=written.combine.vote() if several else None,
        tiles=written.tiles.tiles() if written.tiles else None,
        looks=looks_of(written.views, len(written.choices)) if written.views else None,
    )


def looks_of(written: LooksSpec, labelers: int) -> LookPlan:
    """Write out in which ways the labelers of a stage see an image."""
    return LookPlan(
        which=tuple(chosen(look) for look in written.which),
        names=told_apart([look.name for look in written.which]),
        agreement=written.agreement(labelers),
        doubt=written.doubt.doubt() if written.spend == "by_round" else None,
    )


def literal_rounds(stage: StageSpec) -> tuple[Round, ...]:
    """Evaluate the schedule; one round at 0.5 where there is none."""
    if stage.scheduler is None:
        return (DEFAULT_ROUND,)
    return tuple(stage.scheduler.make().rounds())


def default_aggregator(registry: Registry) -> Choice:
    """Return ``nms`` with its own parameters."""
    entry = registry.get("aggregator", "nms")
    params = entry.strategy.Params().model_dump(mode="json")
    return Choice(type=entry.name, package=entry.package, version=entry.version, params=params)


def chosen(choice: spec_choice.Choice[Any]) -> Choice:
    """Write a strategy out with all its parameters."""
    params = choice.params.model_dump(mode="json")
    return Choice(type=choice.name, package=choice.package, version=choice.version, params=params)


def weights_of(labeler: Labeler) -> Weights:
    """Hash a labeler's files and name their licence."""
    files = labeler.files()
    licence = labeler.licence()
    return Weights(
        files=tuple(
            WeightFile(name=path.name, bytes=path.stat().st_size, sha256=weights.digest(path)) for path in files
        ),
        licence=licence.name,
        commercial=licence.commercial,
    )
