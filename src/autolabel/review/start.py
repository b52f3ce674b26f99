"""Open a run for review: everything checked that can be, before the page is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from autolabel.errors import DataError, Problem, SpecError
from autolabel.registry import Registry
from autolabel.results.store import finished
from autolabel.results.take_in import nearest
from autolabel.review.masks import MaskStage
from autolabel.review.order import sample
from autolabel.review.session import Session
from autolabel.storage import Location

MOST_NEAR = 500
MOST_PROBLEMS = 20


def open_session(
    run: Location,
    *,
    registry: Registry,
    reviewer: str | None = None,
    model: bool = True,
    device: str | None = None,
    phrase: str = "",
    before_change: Callable[[], None] = lambda: None,
) -> Session:
    """Open a finished run for review, with its mask stage where ``model`` says so and the run has one.

    Raises DataError where ``run`` is no finished run of this machine.
    """
    if not isinstance(run, Path):
        raise DataError(f"{run}: a review needs the run in a folder", hint="copy it to this machine, then back")
    store, plan = finished(run)
    if phrase and phrase not in plan.classes:
        raise SpecError(f"{phrase!r} is no class of this run", hint=nearest(phrase, plan.classes))
    masks = MaskStage.of(plan, registry=registry, device=device) if model else None
    return Session(store, plan, reviewer=reviewer, masks=masks, before_change=before_change)


def limit_to_images(session: Session, names: Sequence[str], *, file: str) -> None:
    """Limit a review to the images of a list, in its order; raises DataError, with near names, for any that is none."""
    index = session.index
    index.build()
    rows: list[int] = []
    problems: list[Problem] = []
    for line, name in enumerate(names, 1):
        row = index.find(name)
        if row is None:
            near = nearest(name, [index.name(one) for one in index.search(Path(name).stem)[:MOST_NEAR].tolist()])
            problems.append(
                Problem(file=file, line=line, column=1, message=f"{name!r} is no image of this run", hint=near)
            )
        while row is not None and row < len(index) and index.name(row) == name:
            rows.append(row)
            row += 1
    if problems:
        raise DataError(problems[:MOST_PROBLEMS])
    session.images = rows


def limit_to_sample(session: Session, name: str, size: int) -> None:
    """Limit a review to ``size`` images drawn evenly: the same ones for the same name and run."""
    session.index.build()
    session.images = sample(session.index, name, size)


def read_names(file: Path) -> list[str]:
    """Return the names in a file: one a line, empty lines left out; raises DataError where it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
