"""What of a plan decides its results: named by content, wherever files lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autolabel.plan.model import Choice, LookPlan, Stage

AFTERWARDS = frozenset({"aggregator", "rounds", "ask", "vote", "looks"})
"""What decides over a labeler's answers; all else in a stage decides what they are. (An answer is kept by its look.)"""


def portable(stage: Stage) -> dict[str, Any]:
    """Return what determines a stage's labels; files are named by their hashes, folders left out."""
    return {
        "labeler": reduced(stage.labeler),
        "aggregator": stage.aggregator and reduced(stage.aggregator),
        "rounds": stage.rounds,
        "ask": stage.ask,
        "weights": [file.sha256 for file in stage.weights.files],
        **({"members": [reduced(member) for member in stage.members], "vote": stage.vote} if stage.members else {}),
        **({"tiles": stage.tiles} if stage.tiles else {}),
        **({"looks": looked(stage.looks)} if stage.looks else {}),
    }


def looked(looks: LookPlan) -> dict[str, Any]:
    """Return what determines how images are seen, and what that makes of a score."""
    which = [reduced(look) for look in looks.which]
    return {"which": which, "agreement": looks.agreement, "doubt": looks.doubt}


def answering(stage: Stage) -> dict[str, Any]:
    """Return what determines the answer to one image and prompt: the labeler and its weights."""
    return {name: value for name, value in portable(stage).items() if name not in AFTERWARDS}


def reduced(choice: Choice) -> dict[str, Any]:
    """Return a strategy's name, version and parameters, absolute paths reduced to their last part."""
    return {
        "type": choice.type,
        "package": choice.package,
        "version": choice.version,
        "params": dict(without_folders(choice.params)),
    }


def without_folders(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield parameters, absolute paths reduced to their last part."""
    for name, value in params.items():
        yield name, Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
