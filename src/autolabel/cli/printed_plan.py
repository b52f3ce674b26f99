"""Print a plan for people: what is labelled, how, by which stages, and where it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from autolabel.cli import console
from autolabel.urls import without_secrets

if TYPE_CHECKING:
    from autolabel.plan.model import Forecast, Plan, Stage

_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")


def print_plan(plan: Plan) -> None:
    """Print a plan for people."""
    manifest = plan.manifest
    shards = console.count_noun(len(manifest.shards), "shard")
    console.print_facts(
        {
            "images": f"{manifest.images:,}" + (f" ({manifest.unusable:,} unusable)" if manifest.unusable else ""),
            **({"passed over": print_skipped(plan)} if manifest.passed_over else {}),
            "rows": f"{manifest.rows:,} in {shards}, batches of {plan.recipe.batch_size}",
            "classes": _classes(plan),
            **({"asked by": _asked_by(plan)} if plan.recipe.ontology else {}),
            "devices": plan.execution.places,
            "executor": f"{plan.execution.executor}, {console.count_noun(plan.execution.threads, 'thread')} a worker",
            "results": console.nearby(plan.outputs.results_dir),
            "writes": ", ".join(_outputs(plan)),
            **_captions(plan),
            **({"candidates": _saved(plan.forecast)} if plan.forecast else {}),
            "digest": plan.digest[:16],
        }
    )
    for stage, passes in zip(plan.recipe.stages, plan.manifest.most_passes, strict=True):
        console.out.print()
        console.out.print(Text(f"stage {stage.index}: {stage.labeler.type} -> {stage.gives}", style="bold"))
        facts = _composition(stage)
        if stage.weights.files:
            heavy = [file for file in stage.weights.files if file.name.endswith(_WEIGHTS)] or list(stage.weights.files)
            facts["licence"] = stage.weights.licence
            facts["weights"] = _shortened([f"{file.name} {file.sha256[:12]}" for file in heavy])
        if stage.aggregator:
            facts |= {"aggregator": stage.aggregator.type, "ask": stage.ask}
        if passes is not None:
            facts["forward passes"] = f"at most {passes:,}"
        facts |= _asked_of_endpoints(plan, stage)
        console.print_facts(facts)
        if stage.rounds:
            rounds = console.number_table(
                "round", "conf_threshold", "nms_threshold", numbers=("round", "conf_threshold", "nms_threshold")
            )
            for round in stage.rounds:
                nms = "aggregator's own" if round.nms_threshold is None else f"{round.nms_threshold:g}"
                rounds.add_row(str(round.index), f"{round.conf_threshold:g}", nms)
            console.show(rounds)


def print_skipped(plan: Plan) -> str:
    """Return how many files are not labelled, and why."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.manifest.passed_over.items() if count)
    return f"{console.count_noun(sum(plan.manifest.passed_over.values()), 'file')}: {reasons}"


def _saved(forecast: Forecast) -> str:
    """Return what cached candidates save."""
    passes = console.count_noun(forecast.passes, "forward pass", "forward passes")
    left = f"at most {passes}, up to {forecast.bytes / 1e6:,.1f} MB to cache" if forecast.passes else passes
    return f"{forecast.answered:,} of {console.count_noun(forecast.rows, 'row')} cached, {left}"


def _composition(stage: Stage) -> dict[str, str]:
    """Return the labelers, votes, tiles and looks of a stage; empty for one labeler on whole images."""
    facts = {}
    if stage.members and stage.vote:
        facts["labelers"] = ", ".join(member.type for member in stage.members)
        facts["votes"] = f"{stage.vote.votes} of {len(stage.members)}, at an IoU of {stage.vote.iou:g}"
    if stage.tiles:
        besides = ", and the whole image" if stage.tiles.whole else ""
        facts["tiles"] = f"{stage.tiles.size}x{stage.tiles.size}, overlap {stage.tiles.overlap:g}{besides}"
    if stage.looks:
        spent = "in every round" if stage.looks.doubt is None else "one more each round, for images in doubt"
        facts["looks"] = f"{', '.join(stage.looks.names)}: {spent}, score by {stage.looks.agreement.score}"
    return facts


def _classes(plan: Plan) -> str:
    """Say how many classes there are, and the first of them."""
    names = plan.manifest.classes
    if not names and plan.captions is not None:
        return "known once the images have captions"
    return f"{len(names):,}: {_shortened([console.printable(name) for name in names])}"


def _captions(plan: Plan) -> dict[str, str]:
    """Say what describes images without a caption, how many are left, and what that takes."""
    made = plan.captions
    if made is None:
        return {}
    facts = {
        "captions": f"by {made.labeler.type} {console.printable(str(made.labeler.params.get('model', '')))}".rstrip()
    }
    if made.wanting:
        facts["captions"] += f", {console.count_noun(made.wanting, 'image')} to describe"
        if made.asked.requests:
            asked = made.asked
            facts["captions"] += (
                f": at most {console.count_noun(asked.requests, 'request')}, about {asked.tokens:,} tokens"
            )
    if made.sends_to:
        facts["captions go to"] = ", ".join(map(_place, made.sends_to))
    return facts


def _place(url: str) -> str:
    """Return the address of an endpoint, and whether images leave this machine for it."""
    from autolabel.endpoint.address import is_here

    return f"{without_secrets(url)} ({'this machine' if is_here(url) else 'another machine'})"


def _asked_of_endpoints(plan: Plan, stage: Stage) -> dict[str, str]:
    """Return where a stage sends images, and how many requests and tokens it takes."""
    if not stage.sends_to:
        return {}
    facts = {}
    asked = plan.manifest.requests[stage.index] if plan.manifest.requests else None
    if "between" in stage.labeler.params:
        low, high = stage.labeler.params["between"]
        facts["requests"] = f"one, with an image, for each box of a score between {low:g} and {high:g}"
    if asked is not None:
        images = console.count_noun(asked.images, "image")
        facts["requests"] = f"at most {asked.requests:,}, with {images} and about {asked.tokens:,} tokens"
    if plan.unanswered is not None and stage.index == 0:
        left = plan.unanswered
        facts["left to ask"] = f"at most {left.requests:,}, about {left.tokens:,} tokens; the other answers are kept"
    facts["images go to"] = ", ".join(map(_place, stage.sends_to))
    if limit := plan.execution.budget:
        most = [f"{value:,} {name}" for name in ("requests", "tokens") if (value := getattr(limit, name)) is not None]
        facts["budget"] = ", ".join(most) or "none"
    return facts


def _asked_by(plan: Plan) -> str:
    """Return the number of phrases and of negative phrases of a plan."""
    for_them = {phrase for terms in plan.recipe.ontology.values() for phrase in terms.phrases}
    against = {phrase for terms in plan.recipe.ontology.values() for phrase in terms.negatives}
    return console.count_noun(len(for_them), "phrase") + (f", {len(against):,} negative" if against else "")


def _outputs(plan: Plan) -> Iterator[str]:
    """Yield the files that a run writes for its user, relative to the results directory."""
    yield "labels.jsonl"
    yield from (f"{choice.type}/" for choice in plan.outputs.exports)
    if plan.outputs.visualize:
        yield "images_annotated/"
    if plan.outputs.report:
        yield "report/"


def _shortened(names: Sequence[str], most: int = 6) -> str:
    """Join the first names."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
