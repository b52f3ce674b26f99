"""The least score of each class for export, from a spec or from a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import RootModel, ValidationError

from autolabel.errors import SpecError
from autolabel.spec import document
from autolabel.spec.model import Share, Spec
from autolabel.spec.node import Loc, problem
from autolabel.spec.problems import near, problems
from autolabel.spec.section import Name

_WHERE: Loc = ("output", "thresholds")
_UNKNOWN = "is not a class of this run"


class Thresholds(RootModel[dict[Name, Share]]):
    """A mapping from class name to least score."""


def read_thresholds(path: str | Path, *, classes: Collection[str] | None = None) -> dict[str, float]:
    """Return the thresholds of a YAML file, such as ``autolabel calibrate`` writes.

    Raises SpecError, with positions, if the file is not a mapping of names to numbers from 0 to 1, or if a name is not
    in ``classes`` (None: any name is accepted).
    """
    root = document.read_document(path)
    try:
        thresholds = Thresholds.model_validate(root.plain()).root
    except ValidationError as error:
        raise SpecError(problems(error, root, Thresholds)) from None
    if unknown := _unknown_names(thresholds, classes):
        raise SpecError([problem(root, (name,), _UNKNOWN, hint=_nearest(name, classes)) for name in unknown])
    return thresholds


def thresholds_of(spec: Spec, *, classes: Collection[str] | None) -> dict[str, float]:
    """Return the thresholds in a spec, or in the file that it names; empty if it has neither.

    Raises SpecError if the file is missing or invalid, or if a name is not in ``classes`` (None: not known yet).
    """
    stated = spec.output.thresholds
    if isinstance(stated, str):
        if not Path(stated).is_file():
            hint = "`autolabel calibrate` writes one"
            raise SpecError(spec.problem(_WHERE, f"no such file: {stated}", hint=hint))
        return read_thresholds(stated, classes=classes)
    thresholds = dict(stated or {})
    if unknown := _unknown_names(thresholds, classes):
        raise SpecError(
            [spec.problem((*_WHERE, name), _UNKNOWN, hint=near(name, tuple(classes or ()))) for name in unknown]
        )
    return thresholds


def _unknown_names(names: Iterable[str], classes: Collection[str] | None) -> list[str]:
    """Return the names that are not in ``classes``."""
    known = frozenset(classes or ())
    return [] if classes is None else [name for name in names if name not in known]


def _nearest(name: str, classes: Collection[str] | None) -> str:
    """Return a hint with the nearest class; if none is near, with all classes if they are few."""
    return near(name, tuple(classes or ()))
