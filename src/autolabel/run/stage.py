"""Construct the labeler and the annealing of a stage from its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.detectors import Looks, Voting, composed
from autolabel.endpoint import Answers, Budget, EndpointAccount
from autolabel.errors import ImageError
from autolabel.images import ValueRange, read_pixels
from autolabel.plan.model import Plan, SpendingLimit, Stage
from autolabel.registry import Registry
from autolabel.run.anneal import Annealing
from autolabel.run.verify import in_doubt
from autolabel.storage import at
from autolabel.strategies import Aggregator, Detector, Labeler, Verifier
from autolabel.types import Labels, Sample
from autolabel.types.ontology import Ontology

ANSWERS = "answers"
"""Folder, in the results directory, of what endpoints have answered."""
SPENT = "spent.json"
"""The file that counts a run's requests to endpoints against its budget."""


def make_labeler(stage: Stage, registry: Registry, desk: EndpointAccount | None = None) -> Labeler:
    """Construct the labeler of a stage, composed of its members; loads no weights."""
    choices = stage.members or (stage.labeler,)
    members = [registry.make("labeler", choice.type, choice.params) for choice in choices]
    for member in members:
        member.desk = desk or EndpointAccount()
    if stage.looks is None:
        return composed(members, stage.tiles)
    made = [registry.make("look", choice.type, choice.params) for choice in stage.looks.which]
    looks = dict(zip(stage.looks.names, made, strict=True))
    return composed(members, stage.tiles, looks=looks, ahead=_looks_in(stage).in_round(0))


def desk_of(plan: Plan) -> EndpointAccount:
    """Return a plan's resources for labelers that use an endpoint."""
    root, execution = at(plan.outputs.results_dir), plan.execution
    limit = execution.budget or SpendingLimit()
    spent = root / SPENT if isinstance(root, Path) and execution.budget is not None else None
    answers = at(execution.answers) if execution.answers is not None else root / ANSWERS
    return EndpointAccount(Answers(answers), Budget(limit.requests, limit.tokens, spent))


def _looks_in(stage: Stage) -> Looks:
    """Return the looks of a stage."""
    written = stage.looks
    return Looks() if written is None else Looks(written.names, written.agreement, written.doubt)


def make_annealing(stage: Stage, ontology: Ontology, registry: Registry) -> Annealing | None:
    """Return the annealing settings of a stage; None for a stage without rounds."""
    if stage.aggregator is None:
        return None
    aggregator: Aggregator = registry.make("aggregator", stage.aggregator.type, stage.aggregator.params)
    if stage.vote is not None:
        aggregator = Voting(aggregator, stage.vote)
    return Annealing(stage.rounds, aggregator, stage.ask, ontology, _looks_in(stage))


def has_work(labeler: Labeler, row: Labels) -> bool:
    """Return whether a labeler has work for a row."""
    if row.reason is not None:
        return False
    if isinstance(labeler, Verifier):
        return bool(in_doubt(labeler, row.instances).any())
    return len(row.prompt.phrases if labeler.needs == "prompts" else row.instances) > 0


def read_row(row: Labels, *, max_pixels: int, value_range: ValueRange = None) -> npt.NDArray[np.uint8]:
    """Decode a row's image.

    Raises ImageError if the image cannot be decoded, or has another size than when the run was planned.
    """
    pixels = read_pixels(row.image.path, max_pixels=max_pixels, value_range=value_range)
    if pixels.shape[:2] != row.image.size:
        height, width = row.image.size
        raise ImageError("changed_image", f"was {width}x{height} when the run was planned and no longer is")
    return pixels


def preprocess(labeler: Labeler, row: Labels, pixels: npt.NDArray[np.uint8]) -> Any:
    """Return the input of ``prepare`` or ``segment`` for a row and its pixels."""
    sample = Sample(image=row.image, pixels=pixels, prompt=row.prompt, instances=row.instances)
    return labeler.preprocess(sample) if isinstance(labeler, Detector) else sample
