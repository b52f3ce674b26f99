"""The certificate mode of the review page: one box or image at a time, with the current bounds."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from starlette.routing import Route

from autolabel.certify.answers import parse_answer
from autolabel.certify.drawing import JOURNAL, CertificateRequest
from autolabel.certify.opening import LOCK, Opened, open_locked
from autolabel.certify.session import Unit
from autolabel.certify.statement import Certificate
from autolabel.errors import DataError
from autolabel.results.seal import check_named
from autolabel.review.app import PageMode, get, post
from autolabel.review.session import ReviewSession
from autolabel.storage import Location

_BATCH = 20
"""Units that the page is given at a time; more are only drawn once all of them have an answer."""
_PATIENCE = 60.0
"""Seconds that a unit waits for its image to be indexed."""


class _SubmittedAnswer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=8, max_length=64)]
    """The id of the request; a request that is sent twice counts once."""
    answer: dict[str, Any]


class _NoFields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CertificateDesk:
    """The certificate of an open page; thread-safe."""

    def __init__(self, session: ReviewSession, asked: CertificateRequest) -> None:
        self._review, self._asked = session, asked
        self._alone = threading.RLock()
        self._found: Opened | None = None
        self._read = (-1, -1, -1.0)
        self._seen: set[str] = set()

    def work(self) -> Mapping[str, Any]:
        """Return the unanswered or the next units, with the data to show."""
        with self._open() as found:
            session = found.at_work()
            if found.changes.holds:
                asked = session.next(_BATCH, top_up=False)
            else:  # shown units must be answered before a new draw
                asked = [session.described(*unit) for unit in session.waiting()]
            units = [self._shown(found, unit) for unit in asked]
            return {"units": units, "state": self._state(found, found.write())}

    def answer(self, request: _SubmittedAnswer) -> Mapping[str, Any]:
        """Record an answer and return the new statements; the answer is on disk before this returns."""
        with self._open() as found:
            if request.id not in self._seen:
                try:
                    answer = parse_answer(request.answer, reviewer=self._review.reviewer)
                except ValueError as error:
                    raise DataError(str(error)) from error
                found.at_work().answer([answer])
                self._seen.add(request.id)
            return {"state": self._state(found, found.certificate())}

    def state(self) -> Mapping[str, Any]:
        """Return the current statements."""
        with self._open() as found:
            return {"state": self._state(found, found.certificate())}

    def redraw(self, request: _NoFields) -> Mapping[str, Any]:
        """Draw again after the labels were corrected."""
        with self._alone, self._review.store.lock(LOCK):
            self._found = open_locked(self._review.store, self._review.plan, self._asked, redraw=True)
            self._read = self._marks()
            return {"state": self._state(self._found, self._found.write())}

    def close(self) -> Certificate | None:
        """Write the current certificate, if it was opened here; return it."""
        with self._alone:
            if self._found is None:
                return None
            with self._review.store.lock(LOCK):
                return open_locked(self._review.store, self._review.plan, CertificateRequest(), redraw=False).write()

    @contextmanager
    def _open(self) -> Iterator[Opened]:
        """Yield the certificate under a lock, read again if others have changed it."""
        check_named(self._review.store.root, self._review.plan)
        with self._alone, self._review.store.lock(LOCK):
            if self._found is None or self._marks() != self._read:
                self._found = open_locked(self._review.store, self._review.plan, self._asked, redraw=False)
            try:
                yield self._found
            finally:
                self._read = self._marks()

    def _marks(self) -> tuple[int, int, float]:
        """Return fingerprints of the certificate's journal and of the decisions about the run."""
        store = self._review.store
        answers, decisions, decided = (_status(path) for path in (store.root / JOURNAL, store.journal, store.review))
        return answers[0], decisions[0], decided[1]

    def _shown(self, found: Opened, unit: Unit) -> dict[str, Any]:
        """Return a unit with its row, image size, and boxes."""
        units = found.at_work().units
        kind, place = found.at_work().place(unit["id"]) or ("", 0)
        row = units.box_rows[place] if kind == "b" else place
        facts = units.rows[row]
        self._review.index.wait(seconds=_PATIENCE)
        number = self._review.index.find(facts.image, facts.caption_index)
        boxes = np.frombuffer(units.box_rows, np.int64)
        first, last = np.searchsorted(boxes, [row, row + 1]).tolist()
        around = [units.box(box) | {"asked": kind == "b" and box == place} for box in range(first, last)]
        kept = ("bbox", "phrase", "score", "asked")
        return {
            **unit,
            "row": number,
            "height": facts.size[0],
            "width": facts.size[1],
            "boxes": [{name: one[name] for name in kept} for one in around],
        }

    def _state(self, found: Opened, made: Certificate) -> dict[str, Any]:
        names = ("precision", "recall", "complete", "boxes", "minutes", "K", "confidence", "sentence", "certified")
        state = {name: msgspec.to_builtins(getattr(made, name)) for name in (*names, "holds", "changes")}
        images = made.images
        state["images"] = {name: getattr(images, name) for name in ("units", "checked", "waiting", "missed")}
        return state | {"disagreements": len(made.disagreements)}


def _status(path: Location) -> tuple[int, float]:
    if not isinstance(path, Path) or not path.exists():
        return 0, 0.0
    status = path.stat()
    return status.st_size, status.st_mtime


def certify_mode(desk: CertificateDesk) -> PageMode:
    """Return the mode of the page."""
    return PageMode(
        name="certify",
        title="Certify",
        package="autolabel.review",
        script="certify.js",
        routes=[
            Route("/work", get(lambda request: desk.work())),
            Route("/state", get(lambda request: desk.state())),
            Route("/answer", post(_SubmittedAnswer, desk.answer), methods=["POST"]),
            Route("/redraw", post(_NoFields, desk.redraw), methods=["POST"]),
        ],
    )
