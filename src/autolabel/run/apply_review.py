"""Import corrections, from a review file or another tool, as decisions about a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autolabel.data.corrections.archive import open_archive
from autolabel.data.corrections.read import Tool, read_corrections, tool_of
from autolabel.data.corrections.shapes import Corrections
from autolabel.errors import DataError, Problem
from autolabel.registry import Registry
from autolabel.results.differences import correction_differences
from autolabel.results.import_decisions import record
from autolabel.results.journal import Journal
from autolabel.results.ledger import ledger_of, mend
from autolabel.results.store import finished
from autolabel.results.written import mark_stale
from autolabel.run.outputs import follow, review_run
from autolabel.storage import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The result of applying a file."""

    tool: str
    new: int
    """Decisions that were taken in."""
    standing: int
    """Decisions about the run then."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """For another tool's file: the numbers of boxes kept, moved, added, removed, reclassified, and of masks changed."""
    images: int = 0
    """Images of another tool's file that are in the run."""
    left_out: int = 0
    unknown_images: tuple[str, ...] = ()
    unknown_classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def apply_review(
    run: Location,
    file: Location,
    *,
    registry: Registry,
    tool: Tool | None = None,
    names: Mapping[str, str] | None = None,
    partial: bool = False,
    skip_unknown: bool = False,
    dry_run: bool = False,
) -> Applied:
    """Import a file's corrections, and rewrite the run's exports.

    ``tool`` names the file's format, which is otherwise detected; ``names`` maps its class names to the run's. Images
    in another tool's file count as completely checked unless ``partial``. Raises DataError, and imports nothing, for
    images, classes or shapes that do not fit the run, unless ``skip_unknown`` leaves them out. ``dry_run`` changes
    nothing.
    """
    if not isinstance(file, Path):
        tool = tool or "review"
        if tool != "review":
            raise DataError(f"{file}: corrections of other tools must be local files", hint="fetch it first")
        return _review(run, file, registry, names, skip_unknown=skip_unknown, dry_run=dry_run)
    with open_archive(file) as place:
        tool = tool or tool_of(place)
        if tool == "review":
            return _review(run, place, registry, names, skip_unknown=skip_unknown, dry_run=dry_run)
        corrections = read_corrections(place, tool)
    return take_corrections(
        run,
        corrections,
        file=str(file),
        registry=registry,
        names=names,
        partial=partial,
        skip_unknown=skip_unknown,
        dry_run=dry_run,
    )


def take_corrections(
    run: Location,
    corrections: Corrections,
    *,
    file: str,
    registry: Registry | None,
    names: Mapping[str, str] | None = None,
    partial: bool = False,
    skip_unknown: bool = False,
    dry_run: bool = False,
) -> Applied:
    """Import another tool's corrections, as ``apply_review`` does; ``file`` is their name in errors.

    Without ``registry``, exports are marked as outdated but not rewritten.
    """
    store, plan = finished(run)
    with store.lock():
        mend(store, plan)
        journal = Journal(store)
        ledger = ledger_of(store, plan)
        found = correction_differences(corrections, journal, ledger, plan, file=file, partial=partial, names=names)
        if found.problems and not skip_unknown:
            raise DataError([*found.problems, Problem(file=file, message=_UNTOUCHED)])
        standing = journal.decisions()
        if not dry_run and found.decisions:
            mark_stale(store, plan)
            standing = record(journal, found.decisions, plan=plan, source=file.rpartition("/")[2])
            if registry is not None:
                follow(store, plan, registry=registry)
    return Applied(
        tool=corrections.tool,
        new=len(found.decisions),
        standing=len(standing.decisions),
        counts=dict(found.counts),
        images=found.images,
        left_out=len(found.problems),
        unknown_images=tuple(found.unknown_images),
        unknown_classes=tuple(found.unknown_classes),
        problems=tuple(found.problems),
        notes=tuple(found.notes),
    )


_UNTOUCHED = "nothing was applied; --skip-unknown leaves out the entries named here"


def _review(
    run: Location,
    file: Location,
    registry: Registry,
    names: Mapping[str, str] | None,
    *,
    skip_unknown: bool,
    dry_run: bool,
) -> Applied:
    taken, standing = review_run(run, file, registry=registry, names=names, skip_unknown=skip_unknown, dry_run=dry_run)
    return Applied(
        tool="review",
        new=len(taken.decisions),
        standing=len(standing.decisions),
        left_out=taken.left_out,
        unknown_images=taken.images,
        unknown_classes=taken.classes,
        problems=taken.problems,
    )
