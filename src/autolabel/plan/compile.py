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
from autolabel.detectors import Consensus
from autolabel.errors import ImageError, SpecError
from autolabel.plan import devices, model
from autolabel.plan.census import Census, forwards
from autolabel.plan.files import check_files
from autolabel.plan.identity import portable
from autolabel.plan.model import VERSION, Choice, Cluster, Execution, Plan, Stage, WeightFile, Weights, digest
from autolabel.plan.shards import Cut, Key, cut
from autolabel.registry import Registry
from autolabel.spec import choice as spec_choice
from autolabel.spec.model import Spec
from autolabel.spec.stage import StageSpec
from autolabel.spec.thresholds import thresholds_of
from autolabel.storage import at
from autolabel.strategies import Detector, Labeler
from autolabel.types import Prompt, Round, Size
from autolabel.types.ontology import Ontology, expand

TOGETHER = Choice(type=Consensus.name, package="autolabel-vision", version=autolabel.__version__, params={})
"""What stands for several labelers of a stage."""
DEFAULT_ROUND = Round(index=0, conf_threshold=0.5)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan with the rows that it labels."""

    plan: Plan
    inputs: Cut
    key: Callable[[Size], Key]
    """The first stage's batch key, by which rows that are added later are sorted."""
    shard_size: int


def compile_plan(spec: Spec, *, registry: Registry, limit: int | None = None) -> Compiled:
    """Decide everything a run does: rounds, devices, batches, shards, weights.

    ``limit`` keeps the first rows by image id and writes below ``results_dir/first-N``. Reads image headers, weight
    files for their hashes, never a model. Raises SpecError, MachineError, WeightsError or DataError.
    """
    check_files(spec)
    check_members(spec)
    labelers = [stage.make() for stage in spec.stages]
    check_kinds(spec, labelers)
    check_classes(spec, labelers)
    execution = executed(spec)
    stages = tuple(compile_stage(spec, index, labeler, registry=registry) for index, labeler in enumerate(labelers))
    check_licences(spec, stages)
    check_exports(spec, stages)
    inputs = collect(spec.data, max_pixels=spec.run.max_pixels, threads=spec.run.num_workers)
    ontology = spec.data.ontology()
    counting = [forwards(labeler, stage, ontology) for labeler, stage in zip(labelers, stages, strict=True)]
    census = Census(inputs.classes, counting)
    output = spec.output.model_dump(mode="json", exclude_none=True)
    if spec.output.thresholds is not None:
        output["thresholds"] = thresholds_of(spec, classes=inputs.classes)
    rows = census.count(inputs.rows if limit is None else first(inputs.rows, limit))
    key, shard_size = labelers[0].batch_key, spec.run.shard_size
    ordered = cut(rows, key=key, shard_size=shard_size)
    results = decisive(spec, stages, inputs.classes, ontology)
    asked = spec.devices if "devices" in spec.model_fields_set else None
    plan = Plan(
        digest=digest([VERSION, results, str(census.fingerprint)]),
        results=results,
        autolabel=autolabel.__version__,
        inputs=str(census.fingerprint),
        images=census.images,
        rows=census.rows,
        unusable=census.unusable,
        classes=inputs.classes,
        stages=tuple(
            replace(stage, most_passes=count) for stage, count in zip(stages, census.most_passes(), strict=True)
        ),
        roots=inputs.roots,
        shards=ordered.shards,
        batch_size=spec.run.batch_size,
        max_pixels=spec.run.max_pixels,
        results_dir=str(at(spec.results_dir) / ("" if limit is None else f"first-{limit}")),
        execution=execution,
        exports=tuple(chosen(choice) for choice in spec.export),
        output=output,
        report=spec.report,
        visualize=spec.visualize,
        notices=(*spec.notices, *devices.fallback(asked, execution.workers)),
        ontology=ontology,
    )
    return Compiled(plan, ordered, key, shard_size)


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
            "threads": spec.run.threads,
        }
    )
    return covered


def first(rows: Iterable[Input], limit: int) -> list[Input]:
    """Return the ``limit`` first rows by (image, caption)."""
    return heapq.nsmallest(limit, rows, key=lambda row: (row.image, row.caption_index))


def check_kinds(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse stages that do not line up: boxes must exist before masks are made of them."""
    problems = []
    for index, labeler in enumerate(labelers):
        where, name = ("stages", index, "labeler"), labeler.name
        if labeler.needs == "boxes" and index == 0 and spec.data.boxes is None:
            hint = "put a detector such as grounding_dino before it, or name a COCO file in data.boxes"
            problems.append(spec.problem(where, f"{name!r} needs boxes, and nothing gives it any", hint=hint))
        if labeler.needs == "prompts" and (index > 0 or spec.data.boxes is not None):
            before = "data.boxes" if index == 0 else f"stages[{index - 1}]"
            problems.append(spec.problem(where, f"{name!r} finds boxes itself, but {before} already gives some"))
    if problems:
        raise SpecError(problems)


def check_members(spec: Spec) -> None:
    """Refuse several labelers in a stage unless all are detectors that give the same, and tiles for a segmenter."""
    problems = []
    for index, stage in enumerate(spec.stages):
        for member, choice in enumerate(stage.choices):
            where = ("stages", index, "labelers", member) if stage.labelers else ("stages", index, "tiles")
            if not issubclass(choice.strategy, Detector):
                if stage.labelers or stage.tiles:
                    problems.append(spec.problem(where, f"{choice.name!r} takes boxes: it stands alone, without tiles"))
            elif choice.strategy.gives != stage.choices[0].strategy.gives:
                said = f"{choice.name!r} gives {choice.strategy.gives}, {stage.choices[0].name!r} does not"
                problems.append(spec.problem(where, said))
    if problems:
        raise SpecError(problems)


def check_classes(spec: Spec, labelers: list[Labeler]) -> None:
    """Refuse a phrase that no caption can ask for, such as one that is longer than the model's text."""
    ontology, classes = spec.data.ontology(), spec.data.classes or ()
    for labeler in labelers:
        if isinstance(labeler, Detector):
            for index, name in enumerate(classes):
                try:
                    for phrase in expand((name,), ontology):
                        labeler.passes(Prompt((phrase,)))
                except ImageError as error:
                    where = ("data", "classes", name if isinstance(classes, dict) else index)
                    raise SpecError(spec.problem(where, error.message)) from None


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


def check_licences(spec: Spec, stages: tuple[Stage, ...]) -> None:
    """Refuse weights whose licence forbids commercial use, or is not known, if the spec says ``commercial: true``."""
    if not spec.commercial:
        return
    problems = [
        spec.problem(
            ("stages", stage.index, "labeler", "checkpoint"),
            f"commercial: true, but the weights' licence {described(stage.weights)}",
            hint="choose other weights, or state their licence in a LICENSE file beside them",
        )
        for stage in stages
        if stage.weights.files and stage.weights.commercial is not True
    ]
    if problems:
        raise SpecError(problems)


def described(weights: Weights) -> str:
    """Say in words what a licence allows."""
    return f"({weights.licence}) forbids it" if weights.commercial is False else "is not known"


def check_exports(spec: Spec, stages: tuple[Stage, ...]) -> None:
    """Refuse doubled exporters, those that need masks where no stage gives any, and those that cannot work here."""
    problems = []
    names = [choice.name for choice in spec.export]
    for index, choice in enumerate(spec.export):
        where = ("export", index, "type")
        if choice.name in names[:index]:
            problems.append(spec.problem(where, f"{choice.name!r} is listed twice"))
        if getattr(choice.strategy, "needs", "boxes") == "masks" and not any(s.gives == "masks" for s in stages):
            problems.append(spec.problem(where, f"{choice.name!r} needs masks, and no stage gives any"))
        choice.make()
    if problems:
        raise SpecError(problems)


def executed(spec: Spec) -> Execution:
    """Decide where the plan runs."""
    run, cluster = spec.run, None
    if run.executor == "ray":
        cluster = asked_of_ray(spec)
        workers: tuple[str, ...] = ()
        threads = run.threads or max(1, int(cluster.num_cpus))
    else:
        workers = tuple(name for name in devices.resolve(spec.devices) for _ in range(run.workers_per_device))
        threads = devices.threads_per_worker(workers, run.threads)
    executor = run.executor
    if executor == "auto":
        executor = "inline" if len(workers) == 1 else "processes"
    return Execution(
        executor=executor,
        workers=workers,
        cluster=cluster,
        threads=threads,
        num_workers=run.num_workers,
        max_failures=run.max_failures,
        candidates=run.candidates,
    )


def asked_of_ray(spec: Spec) -> Cluster:
    """Decide what each worker on a Ray cluster is to have; of GPU numbers only the count matters there."""
    asked, ray = spec.devices, spec.run.ray
    share = spec.run.workers_per_device
    if asked == "mps" or (asked == "cpu" and ray.num_gpus):
        found = "mps" if asked == "mps" else "cpu, and run.ray.num_gpus asks for GPUs"
        raise SpecError(spec.problem(("devices",), f"found {found}; on a Ray cluster wanted auto, cpu or GPU numbers"))
    workers = None if isinstance(asked, str) else len(asked) * share
    return Cluster(
        address=ray.address,
        workers=ray.workers or workers,
        num_cpus=float(spec.run.threads or 1) if ray.num_cpus is None else ray.num_cpus,
        num_gpus=0.0 if asked == "cpu" else 1 / share if ray.num_gpus is None else ray.num_gpus,
        fall_back=asked == "auto" and ray.num_gpus is None,
    )
