"""Derive the plan of a run with new weights, and copy the decisions about it."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

import autolabel
from autolabel.errors import MachineError, SpecError
from autolabel.plan.compile import Compiled, weights_of
from autolabel.plan.identity import plan_digest
from autolabel.plan.model import VERSION, Plan, Stage
from autolabel.registry import Registry
from autolabel.results.decision import VERSION as REVIEW_VERSION
from autolabel.results.decision import Review
from autolabel.results.journal import Journal, read_decisions
from autolabel.results.ledger import mend
from autolabel.results.store import RunStore, finished
from autolabel.results.stored_rows import StoredRows
from autolabel.results.written import mark_stale
from autolabel.run.outputs import follow
from autolabel.run.stage import make_labeler


def learning_stage(plan: Plan, registry: Registry) -> Stage:
    """Return the stage with a trainable detector; raises MachineError if there is none, SpecError for several."""
    stage = plan.recipe.stages[0]
    if not stage.rounds:
        raise SpecError("the boxes of this run were given, so it has no detector to train")
    if stage.members:
        names = ", ".join(member.type for member in stage.members)
        raise SpecError(
            f"several detectors have labelled this run ({names}): only a run of one detector can be improved"
        )
    if registry.make("labeler", stage.labeler.type, stage.labeler.params).Training is None:
        raise MachineError(f"{stage.labeler.type} cannot be trained here", hint="grounding_dino can")
    return stage


def with_weights(store: RunStore, plan: Plan, checkpoint: str, *, out: Path, registry: Registry) -> Compiled:
    """Return the plan of a run with other weights of its detector, and another results directory.

    Classes are searched by their names, which the weights were trained on, not by the earlier phrases.
    """
    first, *others = plan.recipe.stages
    choice = replace(first.labeler, params={**first.labeler.params, "checkpoint": checkpoint})
    stage = replace(first, labeler=choice)
    labeler = make_labeler(stage, registry)
    labeler.check()
    recipe = replace(plan.recipe, stages=(replace(stage, weights=weights_of(labeler)), *others), ontology={})
    made = Plan(
        version=VERSION,
        digest=plan_digest(recipe, plan.manifest),
        autolabel=autolabel.__version__,
        recipe=recipe,
        manifest=plan.manifest,
        execution=plan.execution,
        outputs=replace(plan.outputs, results_dir=str(out)),
    )
    return Compiled(made, StoredRows(store, plan), labeler.batch_key)


def carry_decisions(before: RunStore, run: Path, *, name: str, registry: Registry) -> None:
    """Copy the decisions about one run to another, once, as the action ``name``."""
    standing = read_decisions(before)
    if standing is None or not standing.decisions:
        return
    store, plan = finished(run)
    with store.lock():
        mend(store, plan)
        mark_stale(store, plan)
        journal = Journal(store)
        action = Review(
            version=REVIEW_VERSION, plan=plan.digest, id=name, source="improve", decisions=standing.decisions
        )
        journal.append(action)
        journal.checkpoint()
        follow(store, plan, registry=registry)
