"""The settings of a training: read from a recipe and from the command line, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import ValidationError

from autolabel.errors import MachineError, SpecError
from autolabel.spec.document import read_document
from autolabel.spec.node import Node, Place, from_plain
from autolabel.spec.overrides import COMMAND_LINE, apply_overrides
from autolabel.spec.problems import problems
from autolabel.strategies import Labeler, StrategyParams

Settings: TypeAlias = Node | Mapping[str, Any]
"""As plain data, or as a document that knows where each value was written."""


def read_settings(recipe: Path | None, overrides: Sequence[str] = ()) -> Node:
    """Return the settings of a recipe, a YAML file, after overrides ``key=value``, as those of a spec.

    Raises SpecError, with the place, for a file or an override that cannot be read.
    """
    node = Node({}, Place(COMMAND_LINE)) if recipe is None else read_document(recipe)
    return apply_overrides(node, overrides)


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as plain data."""
    plain = settings.plain() if isinstance(settings, Node) else settings
    assert isinstance(plain, Mapping)
    return dict(plain)


def checked_settings(labeler: Labeler, settings: Settings) -> StrategyParams:
    """Return a labeler's settings; raises SpecError for wrong ones, MachineError where it does not learn."""
    if labeler.Training is None:
        raise MachineError(f"{labeler.name} cannot be trained here", hint="grounding_dino and mal can")
    node = settings if isinstance(settings, Node) else from_plain(settings, Place("training"))
    try:
        return labeler.Training.model_validate(node.plain())
    except ValidationError as error:
        raise SpecError(problems(error, node, labeler.Training)) from None
