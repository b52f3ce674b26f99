"""Write the outputs of a run: exports, pictures, report."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain

from msgspec.structs import replace

from autolabel.errors import DataError, PluginError
from autolabel.plan.model import Plan, ResolvedStrategy
from autolabel.registry import Registry
from autolabel.results import review as reviews
from autolabel.results.import_decisions import Taken, record, refuse, take_in
from autolabel.results.journal import Journal, read_decisions
from autolabel.results.ledger import Ledger, ledger_of, mend
from autolabel.results.read_together import read_together
from autolabel.results.review import Review
from autolabel.results.score_curves import Chances, Fit, asked_for, calibrated, read_chances
from autolabel.results.select import measured, selections, sure
from autolabel.results.store import RunStore, finished, publish_folder
from autolabel.results.summary import Summary, summarise
from autolabel.results.written import DIFF, PICTURES, REPORT, Output, mark_stale, note, read_written
from autolabel.run.diff import diff_again
from autolabel.run.export import export
from autolabel.run.worker import Watch
from autolabel.storage import Location, at
from autolabel.types import Labels

_log = logging.getLogger(__name__)
_Writer = Callable[[Iterable[Labels]], list[Location]]
"""Writes outputs from the rows of the ledger, and returns their main paths."""


def write_outputs(store: RunStore, plan: Plan, *, registry: Registry, watch: Watch) -> Summary:
    """Write all outputs of the plan besides the ledger, and count, in one walk over the ledger.

    Outputs of later commands are rewritten too.
    """
    writers: list[_Writer] = [partial(_exported, plan, one, store, registry) for one in plan.outputs.exports]
    names = [one.type for one in plan.outputs.exports]
    if plan.outputs.visualize:
        names.append("pictures")
        writers.append(lambda rows: [write_annotated(store, plan, decoded=rows)])
    if plan.outputs.report:
        names.append("report")
        writers.append(lambda rows: [report(store, plan, decoded=rows)])
    for name in names:
        watch.writing(name)
    count = partial(summarise, results_dir=str(store.root), max_failures=plan.execution.max_failures)
    rows = ledger_of(store, plan, image_path=plan.manifest.image_path)
    summary, paths = read_together(rows, writers, count)
    follow(store, plan, registry=registry, watch=watch)
    written = (str(store.labels), *map(str, chain.from_iterable(paths)))
    return dataclasses.replace(summary, written=written)


def _exported(
    plan: Plan, choice: ResolvedStrategy, store: RunStore, registry: Registry, rows: Iterable[Labels]
) -> list[Location]:
    return export(plan, choice, store=store, registry=registry, decoded=rows)


def follow(store: RunStore, plan: Plan, *, registry: Registry, watch: Watch | None = None) -> None:
    """Rewrite all outdated outputs with their last parameters.

    See ``mark_stale``. Outputs that cannot be rewritten stay marked, with a warning.
    """
    record = read_written(store)
    for name, output in record.outputs.items() if record is not None else ():
        if output.current:
            continue
        (watch or Watch()).writing(name)
        try:
            if output.choice is not None:
                export(
                    plan,
                    output.choice,
                    store=store,
                    registry=registry,
                    thresholds=output.thresholds,
                    checked=output.checked,
                )
            elif name == PICTURES:
                write_annotated(store, plan)
            elif name == REPORT:
                report(store, plan, truth=_named_truth(plan, output))
            elif name == DIFF:
                if not plan.manifest.roots:
                    raise DataError("the run that it compares with is not known here", hint="autolabel diff A B")
                diff_again(store, plan, output)
        except (DataError, PluginError) as error:
            _log.warning("%s is stale: %s", store.root / name, error)


def _named_truth(plan: Plan, output: Output) -> Location | None:
    """Return the truth for a report; None if neither its run nor the file was named on this machine."""
    return None if output.truth is None or not plan.manifest.roots else at(output.truth)


def _located(store: RunStore, plan: Plan, decoded: Iterable[Labels] | None) -> Ledger:
    """Return the labels above the thresholds, with image paths; ``decoded`` rows take the place of the file's."""
    thresholds, fit = plan.outputs.thresholds, asked_for(store, plan)
    change = partial(_shown, thresholds=thresholds or {}, review=read_decisions(store), fit=fit)
    needed = change if thresholds or fit else None
    return ledger_of(store, plan, change=needed, image_path=plan.manifest.image_path, decoded=decoded)


def _shown(labels: Labels, *, thresholds: Mapping[str, float], review: Review | None, fit: Fit | None) -> Labels:
    """Return a row as pictures and the report show it: boxes above the thresholds, scores calibrated by ``fit``."""
    return calibrated(sure(labels, thresholds=thresholds, review=review), fit)


def _learnt(store: RunStore, plan: Plan) -> Chances | None:
    """Return a run's score calibration; None, with a warning, if the file cannot be used."""
    try:
        return read_chances(store, plan)
    except DataError as error:
        _log.warning("%s; the report is written without it", error)
        return None


def write_annotated(store: RunStore, plan: Plan, *, decoded: Iterable[Labels] | None = None) -> Location:
    """Write an annotated picture of every image; return their folder.

    ``decoded`` are the rows of the ledger, to be taken in place of the file's.
    """
    from autolabel.report.pictures import write_pictures

    with publish_folder(store.root / PICTURES, name="pictures") as folder:
        whole = replace(plan, outputs=replace(plan.outputs, split=None))
        drawn = dict(selections(store, whole, decoded=decoded))[""]
        write_pictures(drawn, folder, max_pixels=plan.recipe.max_pixels, value_range=plan.recipe.value_range)
    note(store, PICTURES, Output(current=True))
    return store.root / PICTURES


def report(
    store: RunStore, plan: Plan, *, truth: Location | None = None, decoded: Iterable[Labels] | None = None
) -> Location:
    """Write the HTML report; return its page.

    ``decoded`` are the rows of the ledger, to be taken in place of the file's.
    """
    from autolabel.certify.opening import read_certificate
    from autolabel.evaluate import evaluate
    from autolabel.report.write import PAGE, write_report

    labels, review = _located(store, plan, decoded), read_decisions(store)
    chances = _learnt(store, plan)
    evaluation = None if truth is None else evaluate(measured(store.root)[0], truth)
    with publish_folder(store.root / REPORT, name="report") as folder:
        certificate = read_certificate(store)
        write_report(
            labels,
            plan,
            folder,
            truth=truth,
            evaluation=evaluation,
            review=review,
            certificate=certificate,
            chances=chances,
        )
    note(store, REPORT, Output(current=True, truth=None if truth is None else str(truth)))
    return store.root / REPORT / PAGE


def report_run(run: Location, *, truth: Location | None = None) -> Location:
    """Write a finished run's report; ``truth`` is a COCO file to compare with."""
    store, plan = finished(run)
    with store.lock():
        mend(store, plan)
        return report(store, plan, truth=truth)


def review_run(
    run: Location,
    review: Location,
    *,
    registry: Registry,
    names: Mapping[str, str] | None = None,
    skip_unknown: bool = False,
    dry_run: bool = False,
) -> tuple[Taken, Review]:
    """Import decisions, and rewrite exports and report; return the imported and all current decisions.

    ``names`` maps class names of the file to the run's. Raises DataError with the nearest names, and imports nothing,
    for unknown images or classes, unless ``skip_unknown``.
    """
    store, plan = finished(run)
    new = reviews.read_review(review)
    with store.lock():
        mend(store, plan)
        journal = Journal(store)
        taken = take_in(journal, Ledger(store.labels), plan, new, file=str(review), names=names)
        if not skip_unknown:
            refuse(taken)
        if dry_run:
            return taken, journal.decisions()
        mark_stale(store, plan)
        standing = record(journal, taken.decisions, plan=plan, source=review.name, reviewer=new.reviewer)
        follow(store, plan, registry=registry)
    return taken, standing
