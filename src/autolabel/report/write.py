"""Write a run's report, one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from autolabel.plan.model import Plan
from autolabel.report import overview
from autolabel.report.certified import certified
from autolabel.report.comparison import comparison
from autolabel.report.gallery import Truth, gallery
from autolabel.report.markup import Html, csp_hash, embed, escape_html, join_html
from autolabel.report.provenance import provenance
from autolabel.report.reliability import reliability_section
from autolabel.report.sample import Sampler
from autolabel.report.style import page_part, page_style
from autolabel.report.truth import read_truth
from autolabel.results.ledger import Ledger
from autolabel.results.review import Review, apply_to_row, left_out
from autolabel.results.score_curves import Chances
from autolabel.results.tally import Tally
from autolabel.storage import Location
from autolabel.types import Labels

if TYPE_CHECKING:
    from autolabel.certify.statement import Certificate
    from autolabel.evaluate import Evaluation

PAGE = "index.html"
_MOST_CHOICES = 500
"""Classes that the page's filter lists."""


def write_report(
    labels: Iterable[Labels],
    plan: Plan,
    out: Path,
    *,
    truth: str | Location | None = None,
    evaluation: Evaluation | None = None,
    review: Review | None = None,
    certificate: Certificate | None = None,
    chances: Chances | None = None,
) -> Path:
    """Write ``out/index.html`` and return its path.

    ``labels`` are iterated twice, sorted by (image id, caption index), with ``image.path`` set if the picture is to be
    shown. ``truth`` is a COCO file to compare with, ``evaluation`` its metrics for the whole run, ``review`` the
    decisions, ``certificate`` the certificate, ``chances`` the score calibration. Memory and the page (below 15 MB) do
    not grow with the run: counts cover all rows, the gallery shows a sample. Equal labels, pictures and versions give
    equal bytes. Raises DataError if ``truth`` is invalid, ValueError if ``labels`` can be iterated only once.
    """
    if iter(labels) is labels:
        raise ValueError("labels must be an iterable that can be walked twice, not an iterator")
    tally, sampler = _survey(labels, review, plan.manifest.classes)
    picked = list(_pick(labels, sampler.chosen() | sampler.failures()))
    rows = [row for row in picked if row.reason is None]
    failed = [row for row in picked if row.reason is not None]
    known = None
    if truth is not None:
        known = read_truth(truth, {row.image.id for row in rows}, image_of=evaluation.image_of if evaluation else None)
    page = _compose(
        tally,
        plan,
        rows,
        failed,
        truth=known,
        evaluation=evaluation,
        review=review,
        certificate=certificate,
        chances=chances,
    )
    out.mkdir(parents=True, exist_ok=True)
    path = out / PAGE
    path.write_bytes(page.encode("utf-8", "replace"))
    return path


def _survey(labels: Iterable[Labels], review: Review | None, classes: Sequence[str]) -> tuple[Tally, Sampler]:
    """Count over all rows with decisions applied, and choose the rows to show."""
    tally, sampler = Tally(), Sampler()
    for place, row in enumerate(labels):
        sampler.add(place, row)
        if review is not None and left_out(row, review):
            tally.left_out += 1
        else:
            tally.add(row if review is None else apply_to_row(row, review, classes=classes))
    return tally, sampler


def _pick(labels: Iterable[Labels], places: frozenset[int]) -> Iterator[Labels]:
    """Yield the rows at some places of the walk, and stop after the last; a ledger decodes no others for that."""
    if isinstance(labels, Ledger) and labels.keep is None:
        yield from labels.at(places)
        return
    last = max(places, default=-1)
    for place, row in enumerate(labels):
        if place > last:
            return
        if place in places:
            yield row


def _compose(
    tally: Tally,
    plan: Plan,
    rows: list[Labels],
    failed: list[Labels],
    *,
    truth: Truth | None,
    evaluation: Evaluation | None,
    review: Review | None,
    certificate: Certificate | None,
    chances: Chances | None,
) -> str:
    """Fill the page's template."""
    style, script, template = page_style(), page_part("script.js"), page_part("template.html")
    colours = overview.palette(tally)
    shown = gallery(
        rows, max_pixels=plan.recipe.max_pixels, truth=truth, review=review, value_range=plan.recipe.value_range
    )
    return Template(template).substitute(
        style=style,
        script=script,
        style_hash=csp_hash(style),
        script_hash=csp_hash(script),
        title=escape_html(Path(plan.outputs.results_dir).name or "run"),
        digest=escape_html(plan.digest[:12]),
        tiles=join_html([overview.tiles(tally), overview.decided(tally, review)]),
        states=overview.states(tally),
        classes=overview.classes(tally, colours),
        found_by_round=overview.found_by_round(tally, plan, colours),
        covered_by_round=overview.covered_by_round(tally, plan),
        round_table=overview.round_table(tally, plan, colours),
        histograms=overview.histograms(tally, plan, colours),
        truth_link=Html('<a href="#truth">Truth</a>' if evaluation else ""),
        truth=comparison(evaluation, colours),
        certificate_link=Html('<a href="#certificate">Certificate</a>' if certificate else ""),
        certificate=certified(certificate),
        reliability=reliability_section(chances),
        sample=escape_html(_sample_note(tally, len(shown))),
        failures=overview.failures(tally, failed),
        provenance=provenance(plan),
        data=_data(tally, plan, shown, with_truth=truth is not None),
    )


def _sample_note(tally: Tally, shown: int) -> str:
    """Describe the sample of the gallery."""
    if shown == tally.usable:
        return f"All {shown:,} rows that did not fail."
    return (
        f"{shown:,} of {tally.usable:,} rows that did not fail: the least certain ones, some of every round and class, "
        "the rest at random. Counts above are of all rows."
    )


def _data(tally: Tally, plan: Plan, rows: list[str], *, with_truth: bool) -> Html:
    """Return the data of the page's script as JSON; ``rows`` are already JSON."""
    head = {
        "plan": plan.digest,
        "classes": [phrase for phrase in tally.ranked() if phrase is not None and len(phrase) < 1000][:_MOST_CHOICES],
        "rounds": [[round, " ".join(name).strip()] for round, name in _named_rounds(tally, plan)],
        "floor": min((round.conf_threshold for stage in plan.recipe.stages for round in stage.rounds), default=0),
        "masks": plan.recipe.masks,
        "truth": with_truth,
    }
    return join_html([Html(embed(head)[:-1]), Html(',"rows":['), Html(",".join(rows)), Html("]}")])


def _named_rounds(tally: Tally, plan: Plan) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield each round with the two lines that name it."""
    rounds = overview.asked_rounds(tally, plan)
    return zip(rounds, overview.round_names(plan, rounds), strict=True)
