"""Open a run for review, with all checks before the page is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autolabel.errors import DataError, Problem, SpecError
from autolabel.registry import Registry
from autolabel.results.import_decisions import nearest_hint
from autolabel.results.store import finished
from autolabel.results.written import mark_stale
from autolabel.review.masks import MaskStage
from autolabel.review.order import sample
from autolabel.review.session import ReviewSession
from autolabel.run.outputs import follow
from autolabel.storage import Location

_MOST_NEAR = 500
_MOST_PROBLEMS = 20


def open_session(
    run: Location,
    *,
    registry: Registry,
    reviewer: str | None = None,
    model: bool = True,
    device: str | None = None,
    phrase: str = "",
) -> ReviewSession:
    """Open a finished run for review, with its mask stage if ``model`` is True and the run has one.

    Raises DataError if ``run`` is not a finished run of this machine.
    """
    if not isinstance(run, Path):
        raise DataError(
            f"{run}: only a run in a local folder can be reviewed", hint="copy it to this machine, then back"
        )
    store, plan = finished(run)
    if phrase and phrase not in plan.manifest.classes:
        raise SpecError(f"{phrase!r} is not a class of this run", hint=nearest_hint(phrase, plan.manifest.classes))
    masks = MaskStage.of(plan, registry=registry, device=device) if model else None
    return ReviewSession(store, plan, reviewer=reviewer, masks=masks)


def hand_out(session: ReviewSession, *, registry: Registry) -> int:
    """Write ``review.json`` and rewrite the run's exports; return the number of decisions.

    Raises BusyError if another command uses the results directory; decisions are on disk in any case.
    """
    store, plan = session.store, session.plan
    with store.lock():
        count = session.checkpoint()
        if count and session.changed:
            mark_stale(store, plan)
        follow(store, plan, registry=registry)
    return count


def limit_to_images(session: ReviewSession, names: Sequence[str], *, file: str) -> None:
    """Limit a review to the images of a list, in its order; raises DataError, with similar names, for unknown ones."""
    index = session.index
    index.build()
    rows: list[int] = []
    problems: list[Problem] = []
    for line, name in enumerate(names, 1):
        row = index.find(name)
        if row is None:
            near = nearest_hint(name, [index.name(one) for one in index.search(Path(name).stem)[:_MOST_NEAR].tolist()])
            problems.append(
                Problem(file=file, line=line, column=1, message=f"{name!r} is not an image of this run", hint=near)
            )
        while row is not None and row < len(index) and index.name(row) == name:
            rows.append(row)
            row += 1
    if problems:
        raise DataError(problems[:_MOST_PROBLEMS])
    session.images = rows


def limit_to_sample(session: ReviewSession, name: str, size: int) -> None:
    """Limit a review to a random sample of ``size`` images, which depends only on the name and the run."""
    session.index.build()
    session.images = sample(session.index, name, size)


def read_names(file: Path) -> list[str]:
    """Return the names in a file, one per line, without empty lines; raises DataError if it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
