"""Forecast what is left to ask of an endpoint once the answers that are kept are counted."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from autolabel.data import inputs
from autolabel.data.batches import batches
from autolabel.endpoint import EndpointAccount, NotAsked
from autolabel.plan.census import asking
from autolabel.plan.compile import Compiled
from autolabel.plan.model import Asked, Plan
from autolabel.registry import Registry
from autolabel.run.photos import PhotoFiles
from autolabel.run.stage import desk_of, has_work, make_annealing, make_labeler
from autolabel.run.stage_labeler import StageLabeler
from autolabel.strategies import Requests
from autolabel.types import Labels

_AT_ONCE = 256
"""Rows that are looked at together."""


def with_unanswered(plan: Plan, compiled: Compiled, *, registry: Registry) -> Plan:
    """Return a plan that says what its first stage is still to ask; the plan itself if no answer is kept.

    Labels every row from the answers that are kept, as the run would: decodes the images, asks nothing. A row of which
    any answer is missing counts with all that it may take. A stage with a labeler on this machine is left alone.
    """
    stage, desk = plan.recipe.stages[0], desk_of(plan)
    members = stage.members or (stage.labeler,)
    if not plan.manifest.requests or plan.manifest.requests[0] is None or desk.answers.is_empty():
        return plan
    if not all("endpoint" in member.params for member in members):
        return plan
    labeler = make_labeler(stage, registry, EndpointAccount(desk.answers, asks=False))
    most = asking(labeler, stage, plan.recipe.ontology)
    assert most is not None, "the manifest has its requests"
    looking = StageLabeler(
        stage,
        labeler,
        make_annealing(stage, plan.recipe.ontology, registry),
        "cpu",
        batch_size=plan.recipe.batch_size,
        num_workers=plan.execution.num_workers,
        photos=PhotoFiles(max_pixels=plan.recipe.max_pixels, value_range=plan.recipe.value_range),
    )
    left = sum(
        (most(row.prompt, row.image.size, len(row.instances)) for row in _unanswered(looking, compiled)), Requests()
    )
    return replace(plan, unanswered=Asked(requests=left.requests, images=left.images, tokens=left.tokens))


def _unanswered(looking: StageLabeler, compiled: Compiled) -> Iterator[Labels]:
    """Yield the rows of which an answer is missing."""
    manifest = compiled.plan.manifest
    lines = (manifest.placed(inputs.decode_input(line)).labels(manifest.classes) for line in compiled.rows)
    for rows in batches((row for row in lines if has_work(looking.labeler, row)), _AT_ONCE):
        for position, outcome in looking.outcomes(rows, range(len(rows))):
            if isinstance(outcome, NotAsked):
                yield rows[position]
