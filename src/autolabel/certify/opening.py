"""Begin a certificate of a run, or continue the existing one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from autolabel.certify.answers import Answer, Book, parse_answer
from autolabel.certify.carrying import of_mended_images, still_true
from autolabel.certify.changes import Changes, between
from autolabel.certify.drawing import (
    FOLDER,
    GROUPS,
    JOURNAL,
    REVIEW,
    CertificateRequest,
    Terms,
    difference,
    draw,
    own_groups,
    terms_of,
)
from autolabel.certify.entry_form import Entry
from autolabel.certify.goals import Goals
from autolabel.certify.groups import read_kept_groups
from autolabel.certify.journal import CertificateJournal
from autolabel.certify.population import decided, encode_decided, limits_of, population, read_decided, stand_ins
from autolabel.certify.sentence import STALE
from autolabel.certify.session import CertificateSession
from autolabel.certify.state import certificate
from autolabel.certify.statement import Certificate, decode_certificate, encode_certificate
from autolabel.certify.units import Units
from autolabel.errors import BusyError, DataError
from autolabel.plan.model import Plan
from autolabel.results.ownership import check_links, name_taken
from autolabel.results.store import RunStore, finished, publish
from autolabel.storage import Location, list_files, read_regular

LOCK = ".certificate.lock"
_CERTIFICATE = f"{FOLDER}/certificate.json"
_OWN = re.compile(r"(certificate|review|mistakes|groups)\.json|journal(-\d+)?\.jsonl|.*\.autolabel-tmp|\..*")
"""The files of the folder, and what an interrupted write leaves."""
_ELSEWHERE = "delete it, or move it elsewhere"
_MOST_BYTES = 1 << 28
"""The most bytes of a certificate."""
_AGAIN = "`--redraw` begins a new audit of the run as it is now; answers about unchanged units are kept"


@dataclass(frozen=True, slots=True)
class Opened:
    """An open certificate."""

    store: RunStore
    session: CertificateSession | None
    """The session; None if the labels have changed since the draw, so that nothing can be asked or answered."""
    changes: Changes
    last: Certificate | None = None
    """The certificate as it was written last."""

    def at_work(self) -> CertificateSession:
        """Return the session; raises DataError if the labels have changed."""
        if self.session is None:
            raise DataError(
                f"{self.store.root}: {self.changes.reason}, so its certificate no longer holds", hint=_AGAIN
            )
        return self.session

    def certificate(self) -> Certificate:
        """Return the current certificate; raises DataError if the labels have changed before anything was stated."""
        if self.session is not None:
            return certificate(self.session, changes=self.changes.reason, holds=self.changes.holds)
        if self.last is None:
            self.at_work()
        assert self.last is not None
        sentence = self.last.sentence.removesuffix(STALE) + STALE
        return msgspec.structs.replace(
            self.last, holds=False, certified=False, changes=self.changes.reason, sentence=sentence
        )

    def write(self) -> Certificate:
        """Write the current ``certificate.json``, and return it."""
        made = self.certificate()
        publish(self.store.root / _CERTIFICATE, [encode_certificate(made)], name="certificate")
        return made


def begun(store: RunStore) -> bool:
    """Return whether the run has a certificate."""
    return (store.root / JOURNAL).exists()


def read_certificate(store: RunStore) -> Certificate | None:
    """Return the certificate as last written, None if there is none; raises BusyError if its folder is a link."""
    check_links(store.root, [FOLDER])
    path = store.root / _CERTIFICATE
    if not path.exists():
        return None
    try:
        return decode_certificate(read_regular(path, most=_MOST_BYTES))
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path}: not a certificate: {error}", hint="`autolabel certify RUN` writes it again"
        ) from error


_NOTHING_ASKED = CertificateRequest()


@contextmanager
def open_certificate(
    run: Location, asked: CertificateRequest = _NOTHING_ASKED, *, redraw: bool = False
) -> Iterator[Opened]:
    """Open the certificate of a finished run exclusively; begin it if there is none.

    ``redraw`` draws again: another round if the exported labels are unchanged, otherwise a new audit. Raises DataError
    if the run is not finished, if ``asked`` differs from what the draw fixed, or if shown units are unanswered;
    BusyError if another process has it open.
    """
    store, plan = finished(run)
    with store.lock(LOCK):
        yield open_locked(store, plan, asked, redraw=redraw)


def open_locked(store: RunStore, plan: Plan, asked: CertificateRequest, *, redraw: bool) -> Opened:
    """Open a certificate as ``open_certificate`` does; the caller holds ``LOCK``."""
    terms = terms_of(asked, store, plan)
    journal = CertificateJournal(store.root / JOURNAL)
    check_links(store.root, [FOLDER])
    recorded = journal.read()
    if not recorded:
        _check_own(store.root / FOLDER)
        draw(store, plan, journal, _with_own_groups(terms, store, plan), audit=1)
    elif redraw:
        _redraw(store, plan, journal, recorded, terms)
    found = _read(store, plan, journal)
    session = found.session
    if session is None:
        return found
    if not redraw and (said := difference(session.draw, terms)):
        if session.shown or session.book.standing():
            raise DataError(said, hint="it was fixed by the draw; " + _AGAIN)
        draw(store, plan, journal, _with_kept_groups(terms, store, session.draw), audit=session.draw["audit"])
        found = _read(store, plan, journal)
    found.at_work().want(_goals(found.at_work().goals, asked))
    return found


def _check_own(folder: Location) -> None:
    """Raise BusyError if the folder of a new certificate was not created by autolabel."""
    if isinstance(folder, Path) and name_taken(folder) and not folder.is_dir():
        raise BusyError(f"{folder}: is not a folder", hint=_ELSEWHERE)
    if others := sorted(entry.name for entry in list_files(folder) if not _OWN.fullmatch(entry.name)):
        raise BusyError(f"{folder}: holds {others[0]!r}, which autolabel has not written", hint=_ELSEWHERE)


def _redraw(store: RunStore, plan: Plan, journal: CertificateJournal, recorded: list[Entry], terms: Terms) -> None:
    """Begin another round of the same audit, or a new audit if the run or the settings have changed."""
    found, before = _read(store, plan, journal), recorded[0]["draw"]
    session = found.session
    if session is not None and session.waiting():
        session.begin_round()  # raises
    terms = _with_kept_groups(terms, store, before)
    if session is not None and not difference(before, terms):
        now = _present(store, plan, terms)
        if now.digest == session.units.digest:
            chosen = {("b", place) for place in now.kept} | {("i", place) for place in now.complete}
            session.begin_round(unit for unit in chosen if not session.is_decided(unit))
            return
    if terms.confidence is None:
        terms = replace(terms, confidence=before["confidence"])

    def carried(units: Units) -> dict[str, Any]:
        known = still_true(units, _standing(recorded))
        return known if session is None else known | of_mended_images(session, units)

    draw(store, plan, journal, terms, audit=before["audit"] + 1, carried=carried)


def _standing(recorded: list[Entry]) -> Mapping[str, Answer]:
    """Return the current answers of a journal."""
    book = Book()
    for entry in recorded:
        if "answer" in entry:
            book.enter(parse_answer(entry["answer"]))
    return book.standing()


def _present(store: RunStore, plan: Plan, terms: Terms) -> Units:
    """Return the population that a new draw would use."""
    review = decided(store)
    only = stand_ins(store, plan, review=review, groups=terms.groups or {})
    return population(store, plan, limits=limits_of(plan, terms.thresholds), review=review, only=only)


def _read(store: RunStore, plan: Plan, journal: CertificateJournal) -> Opened:
    recorded = journal.read()
    fixed = recorded[0]["draw"]
    review = read_decided(store.root / REVIEW, fixed["review"])
    only = stand_ins(store, plan, review=review, groups=_kept_groups(store, fixed))
    units = population(store, plan, limits=fixed["limits"], review=review, only=only)
    if units.digest != fixed["population"]:
        reason = "the labels have changed since the draw"
        return Opened(store, None, Changes(reason=reason, holds=False), read_certificate(store))
    session = CertificateSession(journal, units, recorded)
    limits = limits_of(plan, fixed["limits"]["thresholds"] if fixed["own_thresholds"] else None)
    present = decided(store)
    if limits == fixed["limits"] and encode_decided(present) == encode_decided(review):
        return Opened(store, session, Changes(reason=None, holds=True))
    now = population(store, plan, limits=limits, review=present, only=only)
    return Opened(store, session, between(session, now))


def _with_own_groups(terms: Terms, store: RunStore, plan: Plan) -> Terms:
    """Return the terms of a first draw; groups default to the run's own near-duplicates."""
    return terms if terms.groups is not None else replace(terms, groups=own_groups(store, plan))


def _with_kept_groups(terms: Terms, store: RunStore, fixed: Mapping[str, Any]) -> Terms:
    """Return the terms of a further draw; groups default to those of the previous draw."""
    if terms.groups is not None:
        return terms
    return replace(terms, groups=_kept_groups(store, fixed))


def _kept_groups(store: RunStore, fixed: Mapping[str, Any]) -> dict[str, str]:
    return read_kept_groups(store.root / GROUPS, fixed["groups"]) if fixed["groups"] else {}


def _goals(before: Goals, asked: CertificateRequest) -> Goals:
    """Return the goals: those given now, otherwise the previous ones."""
    goals = before
    if asked.precision is not None or asked.recall is not None:
        goals = replace(goals, precision=asked.precision, recall=asked.recall)
    if asked.budget is not None:
        goals = replace(goals, budget=asked.budget)
    return replace(goals, by_class=goals.by_class or asked.by_class)
