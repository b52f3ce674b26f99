"""Open a predictor: from a spec, or from the plan of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

import autolabel
from autolabel import weights
from autolabel.errors import AutolabelError, DataError, MachineError, SpecError
from autolabel.plan import devices, plan_file
from autolabel.plan.compile import compile_rowless
from autolabel.plan.model import Plan
from autolabel.predict.engine import Engine
from autolabel.predict.predictor import Predictor
from autolabel.registry import Registry, discover
from autolabel.results import seal
from autolabel.results.ownership import PLAN
from autolabel.results.score_curves import Fit, asked_for
from autolabel.results.store import RunStore
from autolabel.run.same_weights import check_same_weights, refuse_fetching
from autolabel.run.stage import make_labeler
from autolabel.spec.load import load_spec
from autolabel.storage import Location, at

Source: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
"""A spec's file or its content as a mapping; a run's folder, or its ``plan.json``."""


def open_predictor(
    source: Source,
    *,
    overrides: Sequence[str] = (),
    device: str | None = None,
    registry: Registry | None = None,
) -> Predictor:
    """Load the labelers of a spec, and return a predictor that labels any image as a run of the spec would.

    ``source`` is a spec file or its content as a mapping, in the native form or TAO's, with ``overrides`` as on the
    command line (``key.path=value``). Or it is a run's folder or ``plan.json``: then the labels are those of that run,
    and nothing is downloaded. Image folders and ``results_dir`` of a spec need not exist. ``device`` (``cpu``,
    ``cuda:0`` or ``mps``) replaces the spec's devices. Use the predictor in a ``with`` block, or call its ``close``.

    Raises SpecError if the spec is wrong or needs given boxes, MachineError or WeightsError if this machine cannot load
    the labelers, DataError if a plan cannot be read.
    """
    registry = registry or discover()
    place, on = _plan_place(source), None if device is None else devices.asked_device(device)
    if place is None:
        spec = load_spec(
            source if isinstance(source, Mapping) else os.fspath(source), overrides=overrides, registry=registry
        )
        plan, fit = compile_rowless(spec, registry=registry, on=on), None
        if plan.outputs.scores == "calibrated":
            hint = "open the run whose scores were learnt: its folder, or its plan.json"
            raise SpecError("output.scores: calibrated scores are those of one run", hint=hint)
    elif overrides:
        raise SpecError("a plan takes no overrides", hint="open the spec with them")
    else:
        plan, fit = _plan_and_fit(place)
        plan = replace(plan, execution=plan.execution.alone())
    _check_searches(plan)
    names = _workers_here(plan) if on is None or place is None else devices.resolve_devices(on)
    if place is not None:
        _check_unchanged(plan, registry=registry)
    engines = [Engine.load(plan, device=name, registry=registry) for name in names]
    return Predictor(plan, engines, registry=registry, fit=fit)


def _plan_place(source: Source) -> Location | None:
    """Return the path of the plan that a source names; None if it is a spec."""
    if isinstance(source, Mapping):
        return None
    place = at(os.fspath(source))
    if isinstance(place, Path) and place.is_dir():
        return place / PLAN
    if place.name == PLAN:
        return place
    return place if isinstance(place, Path) and place.suffix == ".json" and _holds_plan(place) else None


def _holds_plan(path: Path) -> bool:
    """Return whether a JSON file is a plan that ``autolabel plan --out`` has written, rather than a spec."""
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return False  # reading it as a spec reports what is wrong
    return isinstance(found, dict) and {"digest", "recipe", "manifest"} <= found.keys()


def _plan_and_fit(place: Location) -> tuple[Plan, Fit | None]:
    """Read a plan, and its run's score calibration.

    Raises DataError if there is no plan, MachineError if another version of autolabel made it.
    """
    try:
        plan = plan_file.read_plan(place)
    except FileNotFoundError:
        raise DataError(f"{place}: no such file", hint="name a spec, or the folder of a run") from None
    if plan.autolabel != autolabel.__version__:
        told = f"{place}: is of autolabel {plan.autolabel}, and this is {autolabel.__version__}"
        raise MachineError(told, hint="open the spec instead")
    root: Location = place.parent if isinstance(place, Path) else at(str(place).rpartition("/")[0])
    fit = asked_for(RunStore(root), plan)
    if not seal.is_named_here(root, plan):
        nothing = replace(plan.manifest, roots={})
        plan = replace(plan, manifest=nothing, execution=replace(plan.execution, candidates=None))
    return plan, fit


def _check_searches(plan: Plan) -> None:
    """Raise SpecError if a plan needs given boxes, which a single image does not have."""
    if not plan.recipe.stages[0].rounds:
        first = plan.recipe.stages[0].labeler.type
        raise SpecError(f"{first!r} needs boxes, and a single image comes without any", hint="put a detector before it")


def _check_unchanged(plan: Plan, *, registry: Registry) -> None:
    """Raise WeightsError unless the weights of a plan exist and are unchanged."""
    for stage in plan.recipe.stages:
        refuse_fetching(stage)
        with weights.offline():
            check_same_weights(make_labeler(stage, registry), stage)


def _workers_here(plan: Plan) -> Sequence[str]:
    """Return the devices of a plan's workers; this machine's devices if one is missing or the plan has none."""
    named = plan.execution.workers
    if not named or plan.execution.cluster is not None:
        return devices.resolve_devices("auto")
    try:
        for name in dict.fromkeys(named):
            devices.resolve_devices(devices.asked_device(name))
    except AutolabelError:
        return devices.resolve_devices("auto")
    return named
