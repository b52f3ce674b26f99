"""Compare two runs over the same images, and write the page that shows it."""

from __future__ import annotations

from dataclasses import replace

from autolabel.errors import DataError, SpecError
from autolabel.plan.model import Plan
from autolabel.results.change import RunChange, compare_runs
from autolabel.results.ledger import Ledger
from autolabel.results.select import measured
from autolabel.results.store import RunStore, finished, publish_folder
from autolabel.results.written import DIFF, Output, note
from autolabel.storage import Location, at, resolved

_MOST_IMAGES = 200
"""Images on the page, and in ``--json``: those in which most changed."""


def diff_runs(before: Location, after: Location, *, raw: bool = False) -> RunChange:
    """Return what changed from one finished run to another.

    The exported labels are compared, or with ``raw`` the models' own. Raises SpecError if both are the same run,
    DataError if they have no image in common.
    """
    if resolved(before) == resolved(after):
        raise SpecError(f"{before} and {after} are one run", hint="name two results directories")
    old, new = measured(before, raw=raw)[0], measured(after, raw=raw)[0]
    _, plan = finished(after)
    placed = replace(new, image_path=plan.manifest.image_path)
    change = compare_runs(old, placed, most=_MOST_IMAGES)
    if not change.images and (change.only_before or change.only_after):
        first, second = (_first(labels) for labels in (old, new))
        raise DataError(
            f"{before} and {after} have no image in common: one has {first}, the other {second}",
            hint="names count from the folder of images: run both on the same folder",
        )
    return change


def _first(labels: Ledger) -> str:
    """Return the first image of a run in quotes, or a note that it exports none."""
    return next((repr(one.image.id) for one in labels), "none")


def write_diff(before: Location, after: Location, change: RunChange, *, raw: bool = False) -> Location:
    """Write the page into the second run's ``diff`` folder; return its path."""
    store, plan = finished(after)
    with store.lock():
        return _diff_page(store, plan, before, change, raw=raw)


def diff_again(store: RunStore, plan: Plan, output: Output) -> Location:
    """Rewrite the page of a run with its last settings; the caller holds the lock."""
    before = at(output.before or "")
    return _diff_page(store, plan, before, diff_runs(before, store.root, raw=output.raw), raw=output.raw)


def _diff_page(store: RunStore, plan: Plan, before: Location, change: RunChange, *, raw: bool) -> Location:
    """Write the page; the caller holds the lock."""
    from autolabel.report.changes import PAGE, write_changes

    with publish_folder(store.root / DIFF, name="diff") as folder:
        names = (str(before), str(store.root))
        write_changes(
            change, folder, names=names, max_pixels=plan.recipe.max_pixels, value_range=plan.recipe.value_range
        )
    note(store, DIFF, Output(current=True, before=str(resolved(before)), raw=raw))
    return store.root / DIFF / PAGE
