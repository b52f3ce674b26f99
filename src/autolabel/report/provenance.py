"""Where a run's labels come from: plan, stages, weights, licences, versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from autolabel.plan.identity import without_folders
from autolabel.plan.model import Plan, ResolvedStrategy, Stage, Weights
from autolabel.report.markup import Html, cut, element
from autolabel.types import Round

PACKAGES = ("numpy", "pillow", "torch", "transformers", "pycocotools", "scikit-learn", "numba")
LONGEST_PARAMS = 20_000
MOST_ROUNDS = 200
MOST_NOTICES = 50


def provenance(plan: Plan) -> Html:
    """Return the facts of a plan, then a card for each stage."""
    rows = plan.manifest
    facts = definitions(
        ("Plan", code(plan.digest)),
        ("Inputs", code(rows.fingerprint)),
        (
            "Images, rows",
            f"{rows.images:,} images, {rows.rows:,} rows, {rows.unusable:,} of them unusable from the start",
        ),
        ("Batches", f"{plan.recipe.batch_size} images; {len(rows.shards):,} shards"),
        (
            "Exports",
            ", ".join(f"{choice.type} ({choice.package} {choice.version})" for choice in plan.outputs.exports)
            or "none",
        ),
        ("autolabel", plan.autolabel),
        ("Versions where this page was written", ", ".join(versions())),
    )
    notices = [element("li", cut(notice, 500)) for notice in plan.notices[:MOST_NOTICES]]
    told = element("ul", *notices, class_="notices") if notices else Html("")
    return element("div", facts, told, *map(stage_card, plan.recipe.stages))


def versions() -> Iterator[str]:
    """Yield what is installed here, by name and version."""
    yield f"Python {platform.python_version()}"
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def stage_card(stage: Stage) -> Html:
    """Return one stage: labeler, aggregator, rounds, weights."""
    facts: list[tuple[str, str]] = [("Labeler", strategy(stage.labeler)), ("Gives", stage.gives)]
    facts += [("Member", strategy(member)) for member in stage.members]
    if stage.vote:
        facts += [("Votes", f"{stage.vote.votes} of {len(stage.members)}, at an IoU of {stage.vote.iou:g}")]
    if stage.tiles:
        besides = ", and the whole image" if stage.tiles.whole else ""
        facts += [("Tiles", f"{stage.tiles.size}x{stage.tiles.size}, overlap {stage.tiles.overlap:g}{besides}")]
    if stage.aggregator:
        facts += [("Aggregator", strategy(stage.aggregator)), ("Asks", asks(stage))]
    facts += [("Licence of the weights", licence(stage.weights))]
    return element(
        "article",
        element("h3", f"Stage {stage.index}: {stage.labeler.type}"),
        definitions(*facts),
        weights(stage.weights),
        rounds(stage.rounds),
        class_="card stage-card",
    )


def strategy(choice: ResolvedStrategy) -> Html:
    """Return a strategy's name and version, with its parameters to unfold."""
    params = cut(json.dumps(without_folders(choice.params), indent=2, ensure_ascii=False), LONGEST_PARAMS)
    details = (
        element("details", element("summary", "parameters"), element("pre", params)) if choice.params else Html("")
    )
    return element("div", f"{choice.type} ({choice.package} {choice.version})", details)


def asks(stage: Stage) -> str:
    """Say what each round asks."""
    return "only what has no box yet" if stage.ask == "missing" else "everything in every round"


def licence(weights: Weights) -> str:
    """Say what the licence allows."""
    if not weights.files:
        return "no weights"
    known = {True: "commercial use allowed", False: "commercial use not allowed", None: "commercial use not known"}
    return f"{weights.licence}: {known[weights.commercial]}"


def weights(found: Weights) -> Html:
    """Return the weight files with their hashes."""
    rows = [(file.name, f"{file.bytes:,}", code(file.sha256)) for file in found.files]
    return table(("Weights", "Bytes", "SHA-256"), rows) if rows else Html("")


def rounds(written: tuple[Round, ...]) -> Html:
    """Return the literal rounds of a stage."""
    rows = [
        (str(round.index), f"{round.conf_threshold:g}", suppression(round.nms_threshold))
        for round in written[:MOST_ROUNDS]
    ]
    return table(("Round", "Threshold", "Suppression (IoU)"), rows) if rows else Html("")


def suppression(threshold: float | None) -> str:
    """Say what a round's ``nms_threshold`` means."""
    if threshold is None:
        return "the aggregator's own"
    return f"{threshold:g}" if threshold else "off"


def definitions(*facts: tuple[str, str]) -> Html:
    """Return a list of names and values."""
    return element("dl", *(part for name, value in facts for part in (element("dt", name), element("dd", value))))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """Return a table that scrolls by itself where it is too wide."""
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    inside = element("table", element("thead", top), element("tbody", *body))
    return element("div", inside, class_="scroll", tabindex=0, role="region", aria_label=head[0])


def code(text: str) -> Html:
    """Return text in the typeface of code."""
    return element("code", text)
