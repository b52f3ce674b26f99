"""Certify a finished run: import answers, compute the certificate, update the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from autolabel.certify.answers import read_answers
from autolabel.certify.checks import Checks
from autolabel.certify.drawing import FOLDER, CertificateRequest
from autolabel.certify.opening import begun, open_certificate
from autolabel.certify.session import Unit
from autolabel.certify.statement import Certificate
from autolabel.errors import DataError
from autolabel.registry import Registry
from autolabel.results.decision import VERSION as REVIEW_VERSION
from autolabel.results.decision import Decision, Review, encode_review
from autolabel.results.store import finished, publish
from autolabel.results.written import REPORT, note, read_written
from autolabel.run.outputs import report, review_run
from autolabel.storage import Location, at


def next_units(run: Location, asked: CertificateRequest, count: int, *, redraw: bool = False) -> list[Unit]:
    """Return the next ``count`` units to check; they are recorded as shown, and each must be answered."""
    with open_certificate(run, asked, redraw=redraw) as found:
        units = found.at_work().next(count)
        found.write()
    return units


def certify_run(
    run: Location,
    asked: CertificateRequest,
    *,
    answers: Path | None = None,
    reviewer: str | None = None,
    redraw: bool = False,
) -> Certificate:
    """Import the answers of a file, if given, write ``certificate.json``, and return the certificate.

    Raises DataError, and imports nothing, if anything in the file is wrong.
    """
    text = None if answers is None else _read(answers)
    with open_certificate(run, asked, redraw=redraw) as found:
        if text is not None:
            numbered = read_answers(text, file=str(answers), reviewer=reviewer)
            found.at_work().answer(
                [answer for _, answer in numbered], file=str(answers), lines=[number for number, _ in numbered]
            )
        made = found.write()
    _update_report(run, plain=answers is None)
    return made


def mend_run(run: Location, *, registry: Registry) -> int:
    """Add the mistakes found by checks to the run's review, as decisions; return their number.

    Boxes found wrong are rejected; missed objects marked with a box and a class are added. The certificate still holds
    for the corrected labels. Raises DataError if nothing was checked.
    """
    store, _ = finished(run)
    if not begun(store):
        raise DataError(f"{run}: nothing was checked", hint="`autolabel certify RUN --next N` draws boxes and images")
    with open_certificate(run) as found:
        session = found.at_work()
        decisions = tuple(_mistakes(session.checks))
        plan = session.draw["plan"]
    file = store.root / FOLDER / "mistakes.json"
    publish(file, [encode_review(Review(version=REVIEW_VERSION, plan=plan, decisions=decisions))], name="certificate")
    if decisions:
        review_run(run, file, registry=registry)
    return len(decisions)


def _mistakes(checks: Checks) -> Iterator[Decision]:
    """Yield a decision for each mistake that can be corrected from its answer."""
    units = checks.units
    for box, verdict in sorted(checks.boxes.items()):
        if verdict == "no":
            facts, row = units.box(box), units.rows[units.box_rows[box]]
            yield Decision(
                image=row.image,
                caption_index=row.caption_index,
                bbox=tuple(facts["bbox"]),
                phrase=facts["phrase"],
                verdict="reject",
            )
    for image, missed in sorted(checks.images.items()):
        row = units.rows[image]
        for one in missed or ():
            if len(one.place) == 4 and one.phrase is not None:
                x1, y1, x2, y2 = one.place
                yield Decision(
                    image=row.image,
                    caption_index=row.caption_index,
                    bbox=(x1, y1, x2, y2),
                    phrase=one.phrase,
                    verdict="keep",
                )


def _update_report(run: Location, *, plain: bool) -> None:
    """Rewrite an existing report; while answers come in, only mark it as outdated."""
    store, plan = finished(run)
    record = read_written(store)
    page = record.outputs.get(REPORT) if record is not None else None
    if page is None:
        return
    with store.lock():
        if plain:
            report(store, plan, truth=None if page.truth is None else at(page.truth))
        elif page.current:
            note(store, REPORT, msgspec.structs.replace(page, current=False))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint="one answer a line, as JSON") from error
