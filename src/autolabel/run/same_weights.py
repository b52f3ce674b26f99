"""Check that the weights of an earlier plan exist and are unchanged."""

from __future__ import annotations

from autolabel import weights
from autolabel.errors import WeightsError
from autolabel.plan.model import Stage
from autolabel.strategies import Labeler


def refuse_fetching(stage: Stage) -> None:
    """Raise WeightsError if a plan names a model that is not on this machine; plans never cause downloads."""
    for choice in stage.members or (stage.labeler,):
        for key in ("checkpoint", "text_encoder"):
            name = choice.params.get(key)
            if isinstance(name, str) and not weights.is_cached(name, weights=key == "checkpoint"):
                raise WeightsError(
                    f"the run was made with {name!r}, which is not on this machine",
                    hint="`autolabel plan SPEC` fetches it; a results directory never fetches anything",
                )


def check_same_weights(labeler: Labeler, stage: Stage) -> None:
    """Raise WeightsError if the files differ from those of the run."""
    there = sorted(weights.file_digest(file) for file in labeler.files())
    if there != sorted(file.sha256 for file in stage.weights.files):
        raise WeightsError(
            f"{stage.name}: its weights differ from those of the run",
            hint="restore the checkpoint that the plan names, or label again",
        )
