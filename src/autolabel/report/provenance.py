"""The report's section on provenance: plan, stages, weights, licences, versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

from autolabel.plan.identity import without_folders
from autolabel.plan.model import Plan, ResolvedStrategy, Stage, Weights
from autolabel.report.markup import Html, element, shorten
from autolabel.types import Round

_PACKAGES = ("numpy", "pillow", "torch", "transformers", "pycocotools", "scikit-learn", "numba")
_LONGEST_PARAMS = 20_000
_MOST_ROUNDS = 200
_MOST_NOTICES = 50


def provenance(plan: Plan) -> Html:
    """Return the facts of a plan, then a card for each stage."""
    rows = plan.manifest
    facts = _definitions(
        ("Plan", _code(plan.digest)),
        ("Inputs", _code(rows.fingerprint)),
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
        ("Versions where this page was written", ", ".join(_versions())),
    )
    notices = [element("li", shorten(notice, 500)) for notice in plan.notices[:_MOST_NOTICES]]
    notice_list = element("ul", *notices, class_="notices") if notices else Html("")
    return element("div", facts, notice_list, *map(_stage_card, plan.recipe.stages))


def _versions() -> Iterator[str]:
    """Yield installed packages, by name and version."""
    yield f"Python {platform.python_version()}"
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _stage_card(stage: Stage) -> Html:
    """Return one stage: labeler, aggregator, rounds, weights."""
    facts: list[tuple[str, str]] = [("Labeler", _strategy(stage.labeler)), ("Gives", stage.gives)]
    facts += [("Member", _strategy(member)) for member in stage.members]
    if stage.vote:
        facts += [("Votes", f"{stage.vote.votes} of {len(stage.members)}, at an IoU of {stage.vote.iou:g}")]
    if stage.tiles:
        besides = ", and the whole image" if stage.tiles.whole else ""
        facts += [("Tiles", f"{stage.tiles.size}x{stage.tiles.size}, overlap {stage.tiles.overlap:g}{besides}")]
    if stage.aggregator:
        facts += [("Aggregator", _strategy(stage.aggregator)), ("Asks", _asks(stage))]
    facts += [("Licence of the weights", _licence(stage.weights))]
    return element(
        "article",
        element("h3", f"Stage {stage.index}: {stage.labeler.type}"),
        _definitions(*facts),
        _weights(stage.weights),
        _rounds(stage.rounds),
        class_="card stage-card",
    )


def _strategy(choice: ResolvedStrategy) -> Html:
    """Return a strategy's name and version, with expandable parameters."""
    params = shorten(json.dumps(without_folders(choice.params), indent=2, ensure_ascii=False), _LONGEST_PARAMS)
    details = (
        element("details", element("summary", "parameters"), element("pre", params)) if choice.params else Html("")
    )
    return element("div", f"{choice.type} ({choice.package} {choice.version})", details)


def _asks(stage: Stage) -> str:
    """Describe the phrases of each round."""
    return "only what has no box yet" if stage.ask == "missing" else "everything in every round"


def _licence(weights: Weights) -> str:
    """Describe what the licence allows."""
    if not weights.files:
        return "no weights"
    known = {True: "commercial use allowed", False: "commercial use not allowed", None: "commercial use not known"}
    return f"{weights.licence}: {known[weights.commercial]}"


def _weights(found: Weights) -> Html:
    """Return the weight files with their hashes."""
    rows = [(file.name, f"{file.bytes:,}", _code(file.sha256)) for file in found.files]
    return html_table(("Weights", "Bytes", "SHA-256"), rows) if rows else Html("")


def _rounds(written: tuple[Round, ...]) -> Html:
    """Return the literal rounds of a stage."""
    rows = [
        (str(round.index), f"{round.conf_threshold:g}", _suppression(round.nms_threshold))
        for round in written[:_MOST_ROUNDS]
    ]
    return html_table(("Round", "Threshold", "Suppression (IoU)"), rows) if rows else Html("")


def _suppression(threshold: float | None) -> str:
    """Describe a round's ``nms_threshold``."""
    if threshold is None:
        return "the aggregator's own"
    return f"{threshold:g}" if threshold else "off"


def _definitions(*facts: tuple[str, str]) -> Html:
    """Return a list of names and values."""
    return element("dl", *(part for name, value in facts for part in (element("dt", name), element("dd", value))))


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """Return a table that scrolls by itself where it is too wide."""
    top = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    inside = element("table", element("thead", top), element("tbody", *body))
    return element("div", inside, class_="scroll", tabindex=0, role="region", aria_label=head[0])


def _code(text: str) -> Html:
    """Return text in the typeface of code."""
    return element("code", text)
