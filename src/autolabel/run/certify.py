"""Certify a finished run: take answers in, state what follows, keep the report in step."""

from __future__ import annotations

from pathlib import Path

import msgspec

from autolabel.certify.answers import read_answers
from autolabel.certify.opening import Asked, opened
from autolabel.certify.session import Unit
from autolabel.certify.statement import Certificate
from autolabel.errors import DataError
from autolabel.results.store import finished
from autolabel.results.written import REPORT, note, read_written
from autolabel.run.outputs import report
from autolabel.storage import Location, at


def next_units(run: Location, asked: Asked, count: int, *, redraw: bool = False) -> list[Unit]:
    """Return the next ``count`` units to check; they are recorded as shown, and each needs an answer from then on."""
    with opened(run, asked, redraw=redraw) as found:
        units = found.at_work().next(count)
        found.write()
    return units


def certify_run(
    run: Location,
    asked: Asked,
    *,
    answers: Path | None = None,
    reviewer: str | None = None,
    redraw: bool = False,
) -> Certificate:
    """Take in the answers of a file, where one is named, and return what is stated; writes ``certificate.json``.

    Raises DataError where anything in the file is wrong: then nothing of it is taken in.
    """
    text = None if answers is None else _read(answers)
    with opened(run, asked, redraw=redraw) as found:
        if text is not None:
            numbered = read_answers(text, file=str(answers), reviewer=reviewer)
            found.at_work().answer(
                [answer for _, answer in numbered], file=str(answers), lines=[number for number, _ in numbered]
            )
        made = found.write()
    _update_report(run, plain=answers is None)
    return made


def _update_report(run: Location, *, plain: bool) -> None:
    """Write the report again, if there is one; while answers come in, only note that it is behind."""
    store, plan = finished(run)
    record = read_written(store)
    there = record.outputs.get(REPORT) if record is not None else None
    if there is None:
        return
    with store.lock():
        if plain:
            report(store, plan, truth=None if there.truth is None else at(there.truth))
        elif there.current:
            note(store, REPORT, msgspec.structs.replace(there, current=False))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint="one answer a line, as JSON") from error
