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
    float | None, typer.Option("--confidence", min=0, max=1, help="The confidence of each bound [0.95].")
]
_ByClass = Annotated[bool, typer.Option("--by-class", help="Also state precision and recall of each class.")]
_Groups = Annotated[
    Path | None,
    typer.Option(
        "--groups",
        metavar="FILE",
        help="A CSV file of near-duplicates with the columns image and group: one image of each group is drawn."
        " Default: the groups that `autolabel duplicates` found in the run; none: no groups.",
    ),
]
_Budget = Annotated[
    float | None,
    typer.Option("--budget", min=0, metavar="MINUTES", help="Forecast the bounds after this many minutes of checking."),
]
_MostMissed = Annotated[
    int | None, typer.Option("--most-missed", min=1, metavar="K", help="Count at most K missed objects of an image.")
]
_Next = Annotated[
    int | None, typer.Option("--next", min=1, metavar="N", help="Print the next N boxes or images to check.")
]
_Answers = Annotated[
    Path | None, typer.Option("--answers", metavar="FILE", help="Read answers, one JSON object per line.")
]
_Reviewer = Annotated[
    str | None, typer.Option("--reviewer", help="Who answered, for answers in FILE without a reviewer.")
]
_Redraw = Annotated[
    bool, typer.Option("--redraw", help="Draw a new sample: after the run has changed, or after a review.")
]
_Mend = Annotated[
    bool,
    typer.Option(
        "--mend", help="Reject the boxes found to be wrong, and add the missed objects that were given a box."
    ),
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
    """Certify the precision and recall of a run, from checks that are drawn at random."""
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
        raise DataError("--next and --answers exclude each other")
    else:
        _print_next(run, asked, count, redraw=redraw, json=json)


def _check_ranges(asked: CertificateRequest) -> None:
    """Raise DataError if a share is not between 0 and 1, or the budget is too long."""
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
    """Read answers, correct the labels if asked to, and print the certificate."""
    from autolabel.certify.table import render_certificate
    from autolabel.registry import discover
    from autolabel.run.certify import certify_run, mend_run

    if mend:
        if answers is not None:
            certify_run(at(run), asked, answers=answers, reviewer=reviewer)
        mended = mend_run(at(run), registry=discover())
        console.err.say(f"{console.count_noun(mended, 'mistake')} corrected; the run's exports were rewritten")
        answers = None
    made = certify_run(at(run), asked, answers=answers, reviewer=reviewer, redraw=redraw)
    if json:
        console.print_json(made)
    else:
        console.out.print(render_certificate(made))
