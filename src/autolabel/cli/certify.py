"""The ``certify`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autolabel.cli import console
from autolabel.cli.options import AsJson, Run
from autolabel.errors import DataError
from autolabel.storage import at

Share = Annotated[float | None, typer.Option(min=0, max=1)]
MOST_MINUTES = 1_000_000_000


def certify(
    run: Run,
    precision: Annotated[
        float | None, typer.Option("--precision", min=0, max=1, help="The share of right boxes to certify [0.9].")
    ] = None,
    recall: Annotated[
        float | None, typer.Option("--recall", min=0, max=1, help="The share of found objects to certify [0.8].")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0, max=1, help="How sure each bound shall be [0.95].")
    ] = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="State each class as well, by itself.")] = False,
    thresholds: Annotated[
        Path | None,
        typer.Option("--thresholds", help="A file of least scores by class, in place of those of the run's spec."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, metavar="MINUTES", help="Tell what so much checking would show.")
    ] = None,
    most_missed: Annotated[
        int | None, typer.Option("--most-missed", min=1, metavar="K", help="Of one image so many missed objects count.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--next", min=1, metavar="N", help="Print the next N boxes or images to check.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE", help="Take in answers, one JSON object a line.")
    ] = None,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="Who answered, where FILE does not say.")] = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw anew: for a run that has changed, or after a review.")
    ] = False,
    mend: Annotated[
        bool, typer.Option("--mend", help="Reject the wrong boxes found, add the missed objects that got a box.")
    ] = False,
    json: AsJson = False,
) -> None:
    """State the precision and recall of a run, from checks that are drawn by lot."""
    from autolabel.certify.opening import Asked
    from autolabel.certify.table import render
    from autolabel.run.certify import certify_run, mend_run, next_units

    asked = Asked(
        precision=precision,
        recall=recall,
        confidence=confidence,
        by_class=by_class,
        thresholds=thresholds,
        budget=budget,
        most_missed=most_missed,
    )
    for name, value in (("--precision", precision), ("--recall", recall), ("--confidence", confidence)):
        if value is not None and not 0 < value < 1:
            raise DataError(f"{name} must be above 0 and below 1, got {value:g}")
    if budget is not None and not budget <= MOST_MINUTES:
        raise DataError(f"--budget must be at most {MOST_MINUTES:,} minutes, got {budget:g}")
    if count is not None and answers is not None:
        raise DataError("--next prints units and --answers takes answers in: one at a time")
    if count is not None:
        console.print_units(next_units(at(run), asked, count, redraw=redraw), json=json)
        return
    if mend:
        from autolabel import discover

        count = mend_run(at(run), registry=discover())
        console.err.say(f"{console.counted(count, 'mistake')} mended; the run's exports are written again")
    made = certify_run(at(run), asked, answers=answers, reviewer=reviewer, redraw=redraw)
    if json:
        console.print_json(made)
    else:
        console.out.print(render(made))
