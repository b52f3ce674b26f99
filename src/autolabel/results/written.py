"""The record of a run's outputs: exports with their parameters, pictures, the report."""

from __future__ import annotations

from threading import Lock
from typing import Any

import msgspec
from msgspec.structs import replace

from autolabel.errors import DataError
from autolabel.plan.model import Plan, ResolvedStrategy
from autolabel.results.store import RunStore, publish
from autolabel.storage import Location, read_regular

OUTPUTS = "outputs.json"
PICTURES = "images_annotated"
REPORT = "report"
DIFF = "diff"
_MOST_BYTES = 1 << 26
"""The most bytes of the record."""
_noting = Lock()
"""Outputs are written in threads."""


class Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One folder of the results directory."""

    current: bool
    """False from the time its labels change until it is written again."""
    choice: ResolvedStrategy | None = None
    """The exporter with its parameters; None for pictures and the report."""
    thresholds: dict[str, float] | None = None
    """Least scores by class that took the place of the spec's."""
    checked: bool = False
    """Whether it holds only the images that a person has checked as a whole."""
    placed: tuple[str, ...] = ()
    """Files of it that lie in the results directory itself as well."""
    truth: str | None = None
    """The file that the report compares with."""
    before: str | None = None
    """The run that the page of differences compares with."""
    raw: bool = False
    """Whether that page compares what the models said."""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``outputs.json``: outputs by folder name, in the order first written."""

    version: int = 1
    outputs: dict[str, Output] = {}


def _place(store: RunStore) -> Location:
    """Return the path of the record."""
    return store.root / OUTPUTS


def read_written(store: RunStore) -> Written | None:
    """Return the record of a run; None if it has none, as before 0.2."""
    path = _place(store)
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(read_regular(path, most=_MOST_BYTES), type=Written)
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path}: not a record of outputs: {error}", hint="delete it, and export again what you need"
        ) from error


def note(store: RunStore, name: str, output: Output) -> None:
    """Record that a folder is up to date."""
    with _noting:
        _write(store, {**_there(store), name: output})


def mark_stale(store: RunStore, plan: Plan) -> None:
    """Record a change of labels: mark all outputs as outdated, and the plan's outputs as missing."""
    outputs = {**planned_outputs(plan), **_there(store)}
    _write(store, {name: replace(output, current=False) for name, output in outputs.items()})


def planned_outputs(plan: Plan) -> dict[str, Output]:
    """Return the planned outputs, by folder name."""
    exports = {choice.type: Output(current=False, choice=choice) for choice in plan.outputs.exports}
    seen = ((PICTURES, plan.outputs.visualize), (REPORT, plan.outputs.report))
    return exports | {name: Output(current=False) for name, wanted in seen if wanted}


def standing(store: RunStore, plan: Plan) -> dict[str, bool]:
    """Return all outputs by name, including missing ones, and whether each is up to date."""
    written = read_written(store)
    if written is None:
        return {name: (store.root / name).exists() for name in planned_outputs(plan)}
    states = {name: output.current for name, output in written.outputs.items()}
    return {**dict.fromkeys(planned_outputs(plan), False), **states}


def _there(store: RunStore) -> dict[str, Output]:
    written = read_written(store)
    if written is not None:
        return written.outputs
    return {name: Output(current=True) for name in (PICTURES, REPORT) if (store.root / name).exists()}


def _write(store: RunStore, outputs: dict[str, Output]) -> None:
    text: Any = msgspec.json.format(msgspec.json.encode(Written(outputs=outputs)), indent=1)
    publish(_place(store), [text + b"\n"], name="outputs")
