"""Compile a validated spec into an execution plan."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

import autolabel
from autolabel import weights
from autolabel.data.collect import collect
from autolabel.data.described import DESCRIBED, read_descriptions
from autolabel.data.inputs import Input
from autolabel.data.sources import Results, sources
from autolabel.detectors import Consensus, told_apart
from autolabel.plan import devices
from autolabel.plan.census import Census, asking, forwards
from autolabel.plan.checks import (
    check_classes,
    check_exports,
    check_kinds,
    check_licences,
    check_local,
    check_looks,
    check_members,
    check_weights,
)
from autolabel.plan.cpu_workers import with_cpu_workers
from autolabel.plan.describing import Describing, caption_plan, describing_of
from autolabel.plan.devices import _Devices
from autolabel.plan.execution import compile_execution
from autolabel.plan.files import check_files
from autolabel.plan.identity import Fingerprint, code_of, plan_digest
from autolabel.plan.model import (
    LookPlan,
    Manifest,
    Outputs,
    Plan,
    Recipe,
    ResolvedStrategy,
    SizeLimits,
    Split,
    Stage,
    WeightFile,
    Weights,
)
from autolabel.plan.names import check_names
from autolabel.plan.precision import with_precision
from autolabel.plan.shards import Key, shard_rows
from autolabel.registry import Registry
from autolabel.spec.choice import Choice
from autolabel.spec.looks import LooksSpec
from autolabel.spec.model import Spec
from autolabel.spec.stage import StageSpec
from autolabel.spec.thresholds import thresholds_of
from autolabel.storage import Location, at
from autolabel.strategies import Detector, Labeler
from autolabel.types import Round, Size

_TOGETHER = ResolvedStrategy(type=Consensus.name, package="autolabel-vision", version=autolabel.__version__, params={})
"""The strategy that combines several labelers of a stage."""
_OURS = frozenset({"stages", "logs", "answers", "report", "images_annotated"})
"""Folders that a run writes besides its exports."""
_DEFAULT_ROUND = Round(index=0, conf_threshold=0.5)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan with the rows that it labels."""

    plan: Plan
    rows: Iterable[bytes]
    """Lines of ``inputs.jsonl`` in the order of the shards; may be walked more than once."""
    batch_key: Callable[[Size], Key]
    """The first stage's batch key, by which rows that are added later are sorted."""
    describing: Describing | None = None
    """None if nothing describes images."""


def compile_plan(spec: Spec, *, registry: Registry, limit: int | None = None) -> Compiled:
    """Compile a spec into a plan: rounds, devices, batches, shards, weights.

    ``limit`` keeps the first rows by image id and sets the results directory to ``results_dir/first-N``. Reads image
    headers, and weight files to hash them; loads no model. Raises SpecError, MachineError, WeightsError or DataError.
    """
    check_files(spec)
    labelers = _make_labelers(spec)
    said = check_names(spec)
    execution = compile_execution(spec)
    recipe, chosen = with_precision(_compile_recipe(spec, labelers, registry=registry), execution.workers)
    again = partial(compile_plan, spec, registry=registry, limit=limit)
    describing = describing_of(spec, results_dir_for(spec, limit=limit) / DESCRIBED, again=again, registry=registry)
    census, manifest, rows, remarks = _list_inputs(spec, recipe, labelers, describing=describing, limit=limit)
    execution = with_cpu_workers(execution, spec.run, recipe, manifest)
    outputs = _compile_outputs(spec, manifest.classes, limit=limit)
    plan = Plan(
        digest=plan_digest(recipe, manifest),
        autolabel=autolabel.__version__,
        recipe=recipe,
        manifest=manifest,
        execution=execution,
        outputs=outputs,
        notices=(*_notices(spec, execution.workers), *chosen, *said, *remarks),
        captions=caption_plan(describing, census) if describing else None,
    )
    return Compiled(plan, rows, labelers[0].batch_key, describing)


def compile_around(spec: Spec, old: Plan, rows: Iterable[bytes], *, registry: Registry, limit: int | None) -> Compiled:
    """Compile a plan for the ``rows`` of another plan: lists no images and reads no headers.

    Classes named by captions or boxes are taken from that plan. Raises the errors of ``compile_plan``.
    """
    check_files(spec)
    labelers = _make_labelers(spec)
    said = check_names(spec)
    execution = compile_execution(spec)
    recipe, chosen = with_precision(_compile_recipe(spec, labelers, registry=registry), execution.workers)
    classes = old.manifest.classes if spec.data.classes is None else tuple(spec.data.classes)
    roots = {source.prefix: str(source.root) for source in sources(spec.data.images)}
    plan = Plan(
        version=old.version,
        digest=old.digest,
        extends=old.extends,
        autolabel=autolabel.__version__,
        recipe=recipe,
        manifest=replace(old.manifest, classes=classes, roots=roots, follow_symlinks=spec.data.follow_symlinks),
        execution=with_cpu_workers(execution, spec.run, recipe, old.manifest),
        outputs=_compile_outputs(spec, classes, limit=limit),
        notices=(*_notices(spec, execution.workers), *chosen, *said),
        captions=old.captions,
    )
    return Compiled(plan, rows, labelers[0].batch_key)


def compile_rowless(spec: Spec, *, registry: Registry, on: _Devices | None = None) -> Plan:
    """Compile a plan without rows, for images that are labelled one by one.

    The plan runs in this process; its digest covers recipe and classes. Image folders need not exist. ``on`` replaces
    the spec's devices. Raises the errors of ``compile_plan``.
    """
    check_files(spec, data=False)
    labelers = _make_labelers(spec)
    said = check_names(spec)
    run = spec.run.model_copy(update={"executor": "inline"})
    execution = compile_execution(spec.model_copy(update={"run": run, "devices": spec.devices if on is None else on}))
    recipe, chosen = with_precision(_compile_recipe(spec, labelers, registry=registry), execution.workers)
    there = all(at(folder).is_dir() for folder in spec.data.images)
    manifest = Manifest(
        fingerprint=str(Fingerprint()),
        images=0,
        rows=0,
        unusable=0,
        classes=tuple(spec.data.classes or ()),
        roots={source.prefix: str(source.root) for source in sources(spec.data.images)} if there else {},
        most_passes=(None,) * len(labelers),
        shards=(),
    )
    return Plan(
        digest=plan_digest(recipe, manifest),
        autolabel=autolabel.__version__,
        recipe=recipe,
        manifest=manifest,
        execution=execution,
        outputs=_compile_outputs(spec, manifest.classes, limit=None),
        notices=(*_notices(spec, execution.workers), *chosen, *said),
    )


def _make_labelers(spec: Spec) -> list[Labeler]:
    """Construct the labeler of every stage without loading it; raises SpecError if stages do not fit together."""
    check_members(spec)
    check_looks(spec)
    labelers = [stage.make() for stage in spec.stages]
    check_kinds(spec, labelers)
    check_classes(spec, labelers)
    check_local(spec, labelers)
    check_weights(spec, labelers)
    return labelers


def _compile_recipe(spec: Spec, labelers: Sequence[Labeler], *, registry: Registry) -> Recipe:
    """Compile everything that determines the labels: literal rounds, parameters, hashes of weights."""
    stages = tuple(_compile_stage(spec, index, labeler, registry=registry) for index, labeler in enumerate(labelers))
    check_licences(spec, stages)
    check_exports(spec, stages)
    run = spec.run
    return Recipe(
        stages=stages,
        ontology=spec.data.ontology(),
        batch_size=run.batch_size,
        shard_size=run.shard_size,
        max_pixels=run.max_pixels,
        value_range=spec.data.value_range,
        threads=run.threads,
    )


def _list_inputs(
    spec: Spec,
    recipe: Recipe,
    labelers: Sequence[Labeler],
    *,
    describing: Describing | None,
    limit: int | None = None,
) -> tuple[Census, Manifest, Iterable[bytes], list[str]]:
    """List the rows of a spec and assign them to shards.

    Return their census, the manifest, their lines, and notices on repaired or omitted entries of the files read.
    """
    results = Results(folder=at(spec.results_dir), names=frozenset({*_OURS, *(choice.name for choice in spec.export)}))
    inputs = collect(
        spec.data,
        max_pixels=recipe.max_pixels,
        threads=spec.run.num_workers,
        results=results,
        descriptions=read_descriptions(describing.place, describing.by) if describing else None,
    )
    stages = list(zip(labelers, recipe.stages, strict=True))
    counting = [forwards(*pair, recipe.ontology) for pair in stages]
    requests = [asking(*pair, recipe.ontology) for pair in stages]
    captioner = describing.captioner if describing else None
    census = Census(inputs.classes, counting, requests if any(requests) else (), captioner=captioner)
    rows = census.count(inputs.rows if limit is None else _first(inputs.rows, limit))
    sharded = shard_rows(rows, key=labelers[0].batch_key, shard_size=recipe.shard_size)
    return census, census.manifest(inputs, sharded.shards), sharded.lines, inputs.remarks()


def _compile_outputs(spec: Spec, classes: Sequence[str], *, limit: int | None) -> Outputs:
    """Compile the outputs that a run writes, and their places."""
    limits, split = spec.output.filter, spec.output.split
    return Outputs(
        results_dir=str(results_dir_for(spec, limit=limit)),
        exports=tuple(_resolved(choice) for choice in spec.export),
        filter=None if limits is None else SizeLimits(**limits.model_dump()),
        split=None if split is None else Split(fractions=split.model_dump(exclude={"seed"}), seed=split.seed),
        duplicates=spec.data.duplicates,
        scores=spec.output.scores,
        thresholds=None if spec.output.thresholds is None else thresholds_of(spec, classes=classes),
        report=spec.report,
        visualize=spec.visualize,
    )


def _notices(spec: Spec, workers: Sequence[str]) -> tuple[str, ...]:
    """Return notices for the user: keys without effect, and a fallback from GPU to CPU."""
    asked = spec.devices if "devices" in spec.model_fields_set else None
    return (*spec.notices, *devices.fallback(asked, workers))


def results_dir_for(spec: Spec, *, limit: int | None = None) -> Location:
    """Return the results directory of a spec."""
    return at(spec.results_dir) / ("" if limit is None else f"first-{limit}")


def _first(rows: Iterable[Input], limit: int) -> list[Input]:
    """Return the first ``limit`` rows by (image, caption)."""
    return heapq.nsmallest(limit, rows, key=lambda row: (row.image, row.caption_index))


def _compile_stage(spec: Spec, index: int, labeler: Labeler, *, registry: Registry) -> Stage:
    """Compile a stage: literal rounds, parameters, hashes of weights."""
    written = spec.stages[index]
    choice = _resolved(written.choices[0]) if len(written.choices) == 1 else _TOGETHER
    common: dict[str, Any] = {
        "index": index,
        "name": f"{index}-{choice.type}",
        "labeler": choice,
        "weights": weights_of(labeler),
        "gives": labeler.gives,
        "ask": written.ask,
        "sends_to": tuple(labeler.sends_to()),
    }
    if not isinstance(labeler, Detector):
        return Stage(**common)
    rounds = _literal_rounds(written)
    aggregator = _resolved(written.aggregator) if written.aggregator else _default_aggregator(registry)
    several = len(written.choices) > 1
    return Stage(
        **common,
        rounds=rounds,
        aggregator=aggregator,
        members=tuple(_resolved(choice) for choice in written.choices) if several else (),
        vote=written.combine.vote() if several else None,
        tiles=written.tiles.tiles() if written.tiles else None,
        looks=_looks_of(written.views, len(written.choices)) if written.views else None,
    )


def _looks_of(written: LooksSpec, labelers: int) -> LookPlan:
    """Compile the looks of a stage."""
    return LookPlan(
        which=tuple(_resolved(look) for look in written.which),
        names=told_apart([look.name for look in written.which]),
        agreement=written.agreement(labelers),
        doubt=written.doubt.doubt() if written.spend == "by_round" else None,
    )


def _literal_rounds(stage: StageSpec) -> tuple[Round, ...]:
    """Evaluate the schedule; one round at 0.5 if there is none."""
    if stage.scheduler is None:
        return (_DEFAULT_ROUND,)
    return tuple(stage.scheduler.make().rounds())


def _default_aggregator(registry: Registry) -> ResolvedStrategy:
    """Return ``nms`` with its own parameters."""
    entry = registry.get("aggregator", "nms")
    params = entry.strategy.Params().model_dump(mode="json")
    return ResolvedStrategy(type=entry.name, package=entry.package, version=entry.version, params=params)


def _resolved(choice: Choice[Any]) -> ResolvedStrategy:
    """Return a strategy with all its parameters, defaults included."""
    params = choice.params.model_dump(mode="json")
    code = code_of(choice.strategy, choice.package)
    incidental = tuple(sorted(choice.strategy.incidental))
    return ResolvedStrategy(
        type=choice.name,
        package=choice.package,
        version=choice.version,
        params=params,
        code=code,
        incidental=incidental,
    )


def weights_of(labeler: Labeler) -> Weights:
    """Hash a labeler's files and name their licence."""
    files = labeler.files()
    licence = labeler.licence()
    return Weights(
        files=tuple(
            WeightFile(name=path.name, bytes=path.stat().st_size, sha256=weights.file_digest(path)) for path in files
        ),
        licence=licence.name,
        commercial=licence.commercial,
    )
