"""Begin a certificate of a run, or go on with the one that is there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from autolabel.certify.answers import Book, parse
from autolabel.certify.changes import Changes, between
from autolabel.certify.entry_form import Entry
from autolabel.certify.goals import Goals
from autolabel.certify.journal import MOST_BYTES as JOURNAL_BYTES
from autolabel.certify.journal import Journal
from autolabel.certify.order import digest_of, seed_of
from autolabel.certify.population import decided, encode_decided, limits_of, population, read_decided
from autolabel.certify.sentence import STALE
from autolabel.certify.session import Session
from autolabel.certify.state import certificate
from autolabel.certify.statement import VERSION, Certificate, decode, encode
from autolabel.certify.units import Units
from autolabel.errors import BusyError, DataError
from autolabel.plan.model import Plan
from autolabel.results.ownership import check_links, there
from autolabel.results.store import RunStore, finished, publish
from autolabel.spec.thresholds import read_thresholds
from autolabel.storage import Location, entries, read_regular

FOLDER = "certificate"
LOCK = ".certificate.lock"
JOURNAL = f"{FOLDER}/journal.jsonl"
CERTIFICATE = f"{FOLDER}/certificate.json"
OWN = re.compile(r"(certificate|review|mistakes)\.json|journal(-\d+)?\.jsonl|.*\.autolabel-tmp|\..*")
"""The files of the folder, and what an interrupted write leaves."""
ELSEWHERE = "delete it, or move it elsewhere"
MOST_BYTES = 1 << 28
"""Of a certificate."""
AGAIN = "`--redraw` begins a new audit of the run as it is: what was answered about unchanged units stays known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a call asks for; None leaves it as it was, or at its default where nothing was drawn yet."""

    precision: float | None = None
    recall: float | None = None
    confidence: float | None = None
    by_class: bool = False
    thresholds: Path | None = None
    budget: float | None = None
    most_missed: int | None = None
    """K."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A certificate that is open."""

    store: RunStore
    session: Session | None
    """None where the labels are others than those that were drawn from: then nothing can be asked or answered."""
    changes: Changes
    last: Certificate | None = None
    """The certificate as it was written last."""

    def at_work(self) -> Session:
        """Return the session; raises DataError where the labels have changed."""
        if self.session is None:
            raise DataError(f"{self.store.root}: {self.changes.told}, and its certificate no longer holds", hint=AGAIN)
        return self.session

    def certificate(self) -> Certificate:
        """Return what is stated by now; raises DataError where the labels have changed before anything was stated."""
        if self.session is not None:
            return certificate(self.session, changes=self.changes.told, holds=self.changes.holds)
        if self.last is None:
            self.at_work()
        assert self.last is not None
        told = self.last.sentence.removesuffix(STALE) + STALE
        return msgspec.structs.replace(
            self.last, holds=False, certified=False, changes=self.changes.told, sentence=told
        )

    def write(self) -> Certificate:
        """Write ``certificate.json`` as things stand, and return it."""
        made = self.certificate()
        publish(self.store.root / CERTIFICATE, [encode(made)], name="certificate")
        return made


def begun(store: RunStore) -> bool:
    """Tell whether a certificate of the run was begun."""
    return (store.root / JOURNAL).exists()


def read_certificate(store: RunStore) -> Certificate | None:
    """Return the certificate as it was written last, None where there is none."""
    path = store.root / CERTIFICATE
    if not path.exists():
        return None
    try:
        return decode(read_regular(path, most=MOST_BYTES))
    except msgspec.DecodeError as error:
        raise DataError(
            f"{path}: not a certificate: {error}", hint="`autolabel certify RUN` writes it again"
        ) from error


@contextmanager
def opened(run: Location, asked: Asked = Asked(), *, redraw: bool = False) -> Iterator[Opened]:
    """Open the certificate of a finished run, alone; begin it where there is none.

    ``redraw`` draws anew: another round where the run hands out what it did, else a new audit. Raises DataError where
    the run is not finished, where ``asked`` differs from what is fixed since the draw, or where shown units wait for an
    answer; BusyError where somebody else has it open.
    """
    store, plan = finished(run)
    with store.lock(LOCK):
        yield open_locked(store, plan, asked, redraw=redraw)


def open_locked(store: RunStore, plan: Plan, asked: Asked, *, redraw: bool) -> Opened:
    """Open a certificate as ``opened`` does; the caller holds ``LOCK``."""
    thresholds = None if asked.thresholds is None else read_thresholds(asked.thresholds, classes=plan.manifest.classes)
    journal = Journal(store.root / JOURNAL)
    check_links(store.root, [FOLDER])
    recorded = journal.read()
    if not recorded:
        _check_own(store.root / FOLDER)
        _draw(store, plan, journal, asked, thresholds, audit=1)
    elif redraw:
        _redraw(store, plan, journal, recorded, asked, thresholds)
    found = _read(store, plan, journal)
    session = found.session
    if session is None:
        return found
    if not redraw and (said := _fixed(session, asked, thresholds)):
        if session.shown or session.book.standing():
            raise DataError(said, hint="it was fixed when the sample was drawn; " + AGAIN)
        _draw(store, plan, journal, asked, thresholds, audit=session.draw["audit"])
        found = _read(store, plan, journal)
    found.at_work().want(_goals(found.at_work().goals, asked))
    return found


def _check_own(folder: Location) -> None:
    """Raise BusyError where the folder of a certificate that is to begin is somebody else's."""
    if isinstance(folder, Path) and there(folder) and not folder.is_dir():
        raise BusyError(f"{folder}: is no folder", hint=ELSEWHERE)
    if others := sorted(entry.name for entry in entries(folder) if not OWN.fullmatch(entry.name)):
        raise BusyError(f"{folder}: holds {others[0]!r}, which no certificate of autolabel has", hint=ELSEWHERE)


def _draw(
    store: RunStore,
    plan: Plan,
    journal: Journal,
    asked: Asked,
    thresholds: Mapping[str, float] | None,
    *,
    audit: int,
    carried: Mapping[str, Any] | None = None,
) -> None:
    """Begin an audit: write what it is about, and the seed, before anything is shown."""
    limits, review = limits_of(plan, thresholds), decided(store)
    units = population(store, plan, limits=limits, review=review)
    caps = {name: units.cap(units.of_class(place)) for name, place in units.place_of_class.items()}
    copied = encode_decided(review)
    publish(store.root / FOLDER / "review.json", [copied], name="certificate")
    draw = {
        "version": VERSION,
        "audit": audit,
        "plan": plan.digest,
        "population": units.digest,
        "boxes": len(units.box_keys),
        "images": len(units.rows),
        "confidence": 0.95 if asked.confidence is None else asked.confidence,
        "K": units.cap() if asked.most_missed is None else asked.most_missed,
        "class_K": caps,
        "limits": limits,
        "own_thresholds": thresholds is not None,
        "review": hashlib.sha256(copied).hexdigest(),
    }
    kept = _carried(units, carried or {})
    known = {name: place for name, place in _by_name(units, units.kept, units.complete).items() if name not in kept}
    seed = seed_of(units.digest, _digest([*kept, *known]), 1)
    first: list[Entry] = [{"draw": draw}, *({"answer": one} for one in kept.values())]
    begun = {"round": {"number": 1, "seed": seed, "chosen": sorted(known)}}
    if journal.path.exists():
        archive = store.root / FOLDER / f"journal-{audit - 1}.jsonl" if audit > 1 else None
        if archive is not None and not archive.exists():
            publish(archive, [read_regular(journal.path, most=JOURNAL_BYTES)], name="certificate")
    journal.begin([*first, begun])


def _carried(units: Units, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answers about units that are in the population, under their names in it."""
    prefix, out = units.digest[:8], {}
    for name, one in answers.items():
        rest = name.partition("-")[2]
        places = units.place_of_box if rest[:1] == "b" else units.place_of_image
        if int(rest[1:], 16) in places:
            out[f"{prefix}-{rest}"] = {**one, "id": f"{prefix}-{rest}"}
    return out


def _by_name(units: Units, boxes: list[int], images: list[int]) -> dict[str, int]:
    prefix = units.digest[:8]
    named = {f"{prefix}-b{units.box_keys[place]:016x}": place for place in boxes}
    return named | {f"{prefix}-i{units.image_keys[place]:016x}": place for place in images}


def _digest(names: list[str]) -> str:
    keys = [name.partition("-")[2] for name in names]
    return digest_of(
        (int(key[1:], 16) for key in keys if key[0] == "b"), (int(key[1:], 16) for key in keys if key[0] == "i")
    )


def _redraw(
    store: RunStore,
    plan: Plan,
    journal: Journal,
    recorded: list[Entry],
    asked: Asked,
    thresholds: Mapping[str, float] | None,
) -> None:
    """Begin another round of the same audit, or a new audit where the run or what is fixed has changed."""
    found = _read(store, plan, journal)
    session = found.session
    if session is not None and session.waiting():
        session.begin_round()  # which refuses
    now = population(store, plan, limits=limits_of(plan, thresholds), review=decided(store))
    if session is not None and now.digest == session.units.digest and not _fixed(session, asked, thresholds):
        chosen = {("b", place) for place in now.kept} | {("i", place) for place in now.complete}
        session.begin_round(unit for unit in chosen if not session.is_decided(unit))
        return
    book = Book()
    for entry in recorded:
        if "answer" in entry:
            book.enter(parse(entry["answer"]))
    answers = {name: one.as_dict() for name, one in book.standing().items()}
    if asked.confidence is None:
        asked = replace(asked, confidence=recorded[0]["draw"]["confidence"])
    _draw(store, plan, journal, asked, thresholds, audit=recorded[0]["draw"]["audit"] + 1, carried=answers)


def _read(store: RunStore, plan: Plan, journal: Journal) -> Opened:
    recorded = journal.read()
    draw = recorded[0]["draw"]
    review = read_decided(store.root / FOLDER / "review.json", draw["review"])
    units = population(store, plan, limits=draw["limits"], review=review)
    if units.digest != draw["population"]:
        told = "the labels are others than those that were drawn from"
        return Opened(store, None, Changes(told=told, holds=False), read_certificate(store))
    session = Session(journal, units, recorded)
    limits = limits_of(plan, draw["limits"]["thresholds"] if draw["own_thresholds"] else None)
    present = decided(store)
    if limits == draw["limits"] and encode_decided(present) == encode_decided(review):
        return Opened(store, session, Changes(told=None, holds=True))
    return Opened(store, session, between(session, population(store, plan, limits=limits, review=present)))


def _fixed(session: Session, asked: Asked, thresholds: Mapping[str, float] | None) -> str:
    """Say what is asked for that is otherwise since the draw; empty where nothing is."""
    draw = session.draw
    if asked.confidence is not None and asked.confidence != draw["confidence"]:
        return f"the confidence is {draw['confidence']:g}, not {asked.confidence:g}"
    if asked.most_missed is not None and asked.most_missed != draw["K"]:
        return f"K is {draw['K']}, not {asked.most_missed}"
    if thresholds is not None and dict(thresholds) != draw["limits"]["thresholds"]:
        return "the thresholds are not those of the sample"
    return ""


def _goals(before: Goals, asked: Asked) -> Goals:
    """Return what is wanted: what is named now, or else what was before."""
    goals = before
    if asked.precision is not None or asked.recall is not None:
        goals = replace(goals, precision=asked.precision, recall=asked.recall)
    if asked.budget is not None:
        goals = replace(goals, budget=asked.budget)
    return replace(goals, by_class=goals.by_class or asked.by_class)
