"""The ``certify`` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Run, Thresholds
from autolabel.errors import DataError
from autolabel.storage import at

if TYPE_CHECKING:
    from autolabel.certify.drawing import CertificateRequest

_MOST_MINUTES = 1_000_000_000

_Precision = Annotated[
    float | None, typer.Option("--precision", min=0, max=1, help="The share of right boxes to certify [0.9].")
]
_Recall = Annotated[
    float | None, typer.Option("--recall", min=0, max=1, help="The share of found objects to certify [0.8].")
]
_Confidence = Annotated[
    float | None, typer.Option("--confidence", min=0, max=1, help="How sure each bound shall be [0.95].")
]
_ByClass = Annotated[bool, typer.Option("--by-class", help="State each class as well, by itself.")]
_Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        metavar="FILE",
        help="Near-duplicates, a CSV file with the columns image and group: one image of each group is drawn. Left"
        " out: those that the run has found (`autolabel duplicates`); none: every image is drawn from.",
    ),
]
_Budget = Annotated[
    float | None, typer.Option("--budget", min=0, metavar="MINUTES", help="Tell what so much checking would show.")
]
_MostMissed = Annotated[
    int | None, typer.Option("--most-missed", min=1, metavar="K", help="Of one image so many missed objects count.")
]
_Next = Annotated[
    int | None, typer.Option("--next", min=1, metavar="N", help="Print the next N boxes or images to check.")
]
_Answers = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Take in answers, one JSON object a line.")
]
_Reviewer = Annotated[str | None, typer.Option("--reviewer", help="Who answered, where FILE does not say.")]
_Redraw = Annotated[bool, typer.Option("--redraw", help="Draw anew: for a run that has changed, or after a review.")]
_Mend = Annotated[
    bool, typer.Option("--mend", help="Reject the wrong boxes found, add the missed objects that got a box.")
]


def certify(
    run: Run,
    precision: _Precision = None,
    recall: _Recall = None,
    confidence: _Confidence = None,
    by_class: _ByClass = False,
    thresholds: Thresholds = None,
    groups: _Groups = None,
    budget: _Budget = None,
    most_missed: _MostMissed = None,
    count: _Next = None,
    answers: _Answers = None,
    reviewer: _Reviewer = None,
    redraw: _Redraw = False,
    mend: _Mend = False,
    json: AsJson = False,
) -> None:
    """State the precision and recall of a run, from checks that are drawn at random."""
    from autolabel.certify.drawing import CertificateRequest

    asked = CertificateRequest(
        precision=precision,
        recall=recall,
        confidence=confidence,
        by_class=by_class,
        thresholds=thresholds,
        groups=groups,
        budget=budget,
        most_missed=most_missed,
    )
    _check_ranges(asked)
    if count is None:
        _state(run, asked, answers=answers, reviewer=reviewer, redraw=redraw, mend=mend, json=json)
    elif answers is not None:
        raise DataError("--next prints units and --answers takes answers in: one at a time")
    else:
        _print_next(run, asked, count, redraw=redraw, json=json)


def _check_ranges(asked: CertificateRequest) -> None:
    """Raise DataError if a share is none, or a budget is longer than anybody has."""
    for name in ("precision", "recall", "confidence"):
        value = getattr(asked, name)
        if value is not None and not 0 < value < 1:
            raise DataError(f"--{name} must be above 0 and below 1, got {value:g}")
    if asked.budget is not None and not asked.budget <= _MOST_MINUTES:
        raise DataError(f"--budget must be at most {_MOST_MINUTES:,} minutes, got {asked.budget:g}")


def _print_next(run: str, asked: CertificateRequest, count: int, *, redraw: bool, json: bool) -> None:
    from autolabel.run.certify import next_units

    console.print_units(next_units(at(run), asked, count, redraw=redraw), json=json)


def _state(
    run: str,
    asked: CertificateRequest,
    *,
    answers: Path | None,
    reviewer: str | None,
    redraw: bool,
    mend: bool,
    json: bool,
) -> None:
    """Take answers in, mend where that is asked for, and print what is stated then."""
    from autolabel.certify.table import render_certificate
    from autolabel.registry import discover
    from autolabel.run.certify import certify_run, mend_run

    if mend:
        if answers is not None:
            certify_run(at(run), asked, answers=answers, reviewer=reviewer)
        mended = mend_run(at(run), registry=discover())
        console.err.say(f"{console.count_noun(mended, 'mistake')} mended; the run's exports are written again")
        answers = None
    made = certify_run(at(run), asked, answers=answers, reviewer=reviewer, redraw=redraw)
    if json:
        console.print_json(made)
    else:
        console.out.print(render_certificate(made))
