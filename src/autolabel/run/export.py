"""Export a run's labels; each exporter's folder is published atomically."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from msgspec.structs import replace
from pydantic import ValidationError

from autolabel.errors import BusyError, DataError, Problem, SpecError
from autolabel.plan.model import Plan, ResolvedStrategy, Stage
from autolabel.registry import Registry
from autolabel.results.checked import HINT, any_checked
from autolabel.results.ledger import mend
from autolabel.results.ownership import name_taken
from autolabel.results.select import selections
from autolabel.results.store import RunStore, finished, publish, publish_folder
from autolabel.results.written import Output, Written, note, read_written
from autolabel.spec.scalar import resolve_scalar
from autolabel.spec.thresholds import read_thresholds
from autolabel.storage import Location
from autolabel.types import Labels, Provenance
from autolabel.types.provenance import WeightSource

_CHUNK = 1 << 20


def export(
    plan: Plan,
    choice: ResolvedStrategy,
    *,
    store: RunStore,
    registry: Registry,
    thresholds: Mapping[str, float] | None = None,
    checked: bool = False,
    decoded: Iterable[Labels] | None = None,
) -> list[Location]:
    """Write one exporter's files below ``results_dir/<its name>``, with a folder per split if the spec has splits.

    ``thresholds`` replace the plan's; ``checked`` only exports completely checked images; ``decoded`` are the rows of
    the ledger, to be taken in place of the file's. The export and its parameters are recorded, so that it can be
    rewritten after a review.
    """
    if thresholds is not None:
        plan = replace(plan, outputs=replace(plan.outputs, thresholds=dict(thresholds)))
    exporter = registry.make("exporter", choice.type, choice.params)
    target = store.root / choice.type
    exporter.provenance = _provenance(plan)
    parts = dict(selections(store, plan, checked=checked, decoded=decoded))
    with publish_folder(target, name="export") as folder:
        if parts.keys() == {""}:
            paths = exporter.export(parts[""], plan.manifest.classes, folder)
        else:
            paths = exporter.export_parts(parts, plan.manifest.classes, folder)
        written = [target / path.relative_to(folder) for path in paths]
    stated = None if thresholds is None else dict(thresholds)
    output = Output(current=True, choice=choice, thresholds=stated, checked=checked)
    if exporter.at_top and parts.keys() == {""}:
        names = tuple(path.relative_to(folder).as_posix() for path in paths)
        return _place_at_top(store, choice.type, replace(output, placed=names))
    note(store, choice.type, output)
    return written


def _place_at_top(store: RunStore, name: str, output: Output) -> list[Location]:
    """Also copy an export's files into the results directory itself; return their paths.

    Only files of earlier exports, which are recorded beforehand, are replaced. Raises BusyError for other files.
    """
    ours = {file for one in (read_written(store) or Written()).outputs.values() for file in one.placed}
    foreign = [file for file in output.placed if file not in ours and name_taken(store.root / file)]
    if foreign:
        raise BusyError(
            f"{store.root} holds {', '.join(foreign)}, which no export of this run has written",
            hint=f"move it elsewhere, then `autolabel export {quote(str(store.root))} {name}`",
        )
    note(store, name, replace(output, current=False))
    for file in output.placed:
        publish(store.root / file, _chunks(store.root / name / file), name="placed")
    note(store, name, output)
    return [store.root / file for file in output.placed]


def _chunks(file: Location) -> Iterator[bytes]:
    """Yield a file's bytes in chunks."""
    with file.open("rb") as stream:
        while block := stream.read(_CHUNK):
            yield block


def _provenance(plan: Plan) -> Provenance:
    """Return the provenance of a plan's labels."""
    return Provenance(
        autolabel=plan.autolabel,
        plan=plan.digest,
        labelers=tuple(name for stage in plan.recipe.stages for name in _names_of(stage)),
        weights=tuple(
            WeightSource(labeler=stage.labeler.type, file=file.name, sha256=file.sha256, licence=stage.weights.licence)
            for stage in plan.recipe.stages
            for file in stage.weights.files
        ),
        masks=plan.recipe.masks,
        given=plan.manifest.given,
    )


def _names_of(stage: Stage) -> list[str]:
    """Return the labelers of a stage."""
    return [member.type for member in stage.members] or [stage.labeler.type]


def export_run(
    run: Location,
    name: str,
    params: Mapping[str, Any] | Sequence[str],
    *,
    registry: Registry,
    thresholds: Path | None = None,
    checked: bool = False,
) -> list[Location]:
    """Write a finished run's labels with one exporter; ``params`` are a mapping, or ``key=value`` with YAML values.

    ``thresholds`` is a file that replaces the thresholds of the run's spec. Raises SpecError for wrong parameters or
    thresholds, DataError if ``run`` is not a finished run, or if ``checked`` and no image is checked.
    """
    store, plan = finished(run)
    if checked and not any_checked(store):
        raise DataError(f"{run}: no image of this run is checked", hint=HINT)
    stated = None if thresholds is None else read_thresholds(thresholds, classes=plan.manifest.classes)
    entry = registry.get("exporter", name)
    if getattr(entry.strategy, "needs", "boxes") == "masks" and not plan.recipe.masks:
        raise DataError(f"{run}: {name!r} needs masks, and this run has none")
    given = params if isinstance(params, Mapping) else dict(_parameter(text) for text in params)
    try:
        valid = entry.strategy.Params.model_validate(given, context={"root": Path.cwd()})
    except ValidationError as error:
        raise SpecError(_wrong_parameters(error, name, sorted(entry.strategy.Params.model_fields))) from None
    choice = ResolvedStrategy(
        type=name, package=entry.package, version=entry.version, params=valid.model_dump(mode="json")
    )
    with store.lock():
        mend(store, plan)
        return export(plan, choice, store=store, registry=registry, thresholds=stated, checked=checked)


def _wrong_parameters(error: ValidationError, name: str, known: Sequence[str]) -> list[Problem]:
    """Return the faults of an exporter's parameters, with the valid ones."""
    hint = f"{name} takes {', '.join(known)}" if known else f"{name} takes no parameters"
    return [
        Problem(
            file="<command line>",
            path=".".join(map(str, one["loc"])),
            message="unknown parameter"
            if one["type"] == "extra_forbidden"
            else one["msg"].removeprefix("Value error, "),
            hint=hint,
        )
        for one in error.errors()
    ]


def _parameter(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise SpecError(f"{text!r}: expected key=value")
    return key, resolve_scalar(value)
