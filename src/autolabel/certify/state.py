"""Compute the current certificate: its statements, and the remaining work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.certify.audit import Audit
from autolabel.certify.checks import Checks
from autolabel.certify.forecast import foreseen
from autolabel.certify.goals import (
    BOX_PART,
    BOX_SECONDS,
    CertificateProgress,
    Goals,
    complete_stated,
    precision_stated,
    recall_stated,
)
from autolabel.certify.sentence import sentence
from autolabel.certify.session import CertificateSession
from autolabel.certify.statement import (
    VERSION,
    AfterReview,
    BoxCounts,
    Certificate,
    ClassStatement,
    Crowded,
    Disagreement,
    ImageCounts,
    Minutes,
    Stated,
    WithinBudget,
)

_FEW = 100
"""Classes with fewer boxes are also stated together: fixed by counts, before anything is known of them."""
_MOST_LISTED = 1000
_NOTHING = Stated(at_least=None, at_most=None, estimate=None)


def certificate(session: CertificateSession, *, changes: str | None = None, holds: bool = True) -> Certificate:
    """Return the current certificate; ``changes`` describes how the run differs from the drawn population."""
    checks, goals = session.checks, session.goals
    audit = checks.audit()
    precision, recall = precision_stated(audit, goals.precision), recall_stated(audit, goals.recall)
    wanted = [one for one in (precision, recall) if one.wanted is not None]
    classes = tuple(_by_class(checks, goals)) if goals.by_class else ()
    if goals.by_class:
        wanted += [one.precision for one in classes if one.boxes and one.precision.wanted is not None]
    disagreements = sorted(session.book.disagreements())
    partial: dict[str, Any] = {
        "version": VERSION,
        "holds": holds,
        "changes": changes,
        "certified": holds and bool(wanted) and all(one.certified for one in wanted),
        "confidence": checks.settings.confidence,
        "K": checks.settings.cap,
        "precision": precision,
        "recall": recall,
        "complete": complete_stated(audit),
        "after_review": _after_review(checks, audit),
        "checked": len(checks.boxes) + len(checks.images),
        "units": audit.boxes + audit.images,
        "boxes": _box_counts(session, audit),
        "images": _image_counts(session, audit),
        "classes": classes,
        "disagreements": tuple(_disagreement(session, name) for name in disagreements[:_MOST_LISTED]),
        "minutes": _minutes(session, audit, precision, recall),
        "plan": session.draw["plan"],
        "population": session.units.digest,
        "seed": session.seed,
        "rounds": len(checks.box_rounds),
        "audits": session.draw["audit"],
        "thresholds": session.draw["limits"]["thresholds"],
    }
    return Certificate(sentence=sentence(partial), **partial)


def _by_class(checks: Checks, goals: Goals) -> list[ClassStatement]:
    """Return a statement for each class, and one for all small classes together."""
    units, out = checks.units, []
    for place, name in enumerate(units.classes):
        audit = checks.audit(place)
        out.append(
            ClassStatement(
                name=name,
                classes=(name,),
                K=audit.cap,
                boxes=audit.boxes,
                checked=audit.right.decided,
                precision=precision_stated(audit, goals.precision),
                recall=recall_stated(audit, goals.recall),
            )
        )
    small = [place for place, one in enumerate(out) if 0 < one.boxes < _FEW]
    if len(small) > 1:
        audit = checks.pool(small)
        out.append(
            ClassStatement(
                name=f"the {len(small)} classes with fewer than {_FEW} boxes together",
                classes=tuple(units.classes[place] for place in small),
                K=None,
                boxes=audit.boxes,
                checked=audit.right.decided,
                precision=precision_stated(audit, goals.precision),
                recall=_NOTHING,
            )
        )
    return out


def progress(session: CertificateSession) -> tuple[CertificateProgress, npt.NDArray[np.int64]]:
    """Return the progress, and the boxes that come first because their class has too few draws."""
    audit, goals = session.checks.audit(), session.goals
    settled = _settled(precision_stated(audit, goals.precision))
    recall_settled = goals.recall is None or _settled(recall_stated(audit, goals.recall))
    first = np.zeros(0, np.int64)
    if goals.by_class and settled:
        rows = _by_class(session.checks, goals)
        open_rows = [one for one in rows if len(one.classes) == 1 and one.boxes and not _settled(one.precision)]
        if open_rows:
            largest = max(open_rows, key=lambda one: one.boxes)
            first = np.flatnonzero(session.units.of_class(session.units.place_of_class[largest.name]))
        recall_settled = recall_settled and all(
            _settled(one.recall) or one.recall.more_checks is None for one in rows if one.boxes
        )
    return session.stage(recall_settled=recall_settled), first


def _settled(stated: Stated) -> bool:
    return stated.wanted is None or stated.certified or stated.impossible


def _after_review(checks: Checks, audit: Audit) -> AfterReview:
    """Return the bounds after the mistakes found are corrected."""
    removed, added = checks.removed(), checks.added(checks.settings.cap)
    return AfterReview(
        removed=removed,
        added=added,
        precision_at_least=audit.precision_after(removed),
        recall_at_least=audit.recall_after(added),
    )


def _box_counts(session: CertificateSession, audit: Audit) -> BoxCounts:
    """Count boxes."""
    verdicts = list(session.checks.boxes.values())
    return BoxCounts(
        **_counts(session, "b", audit.boxes, audit.right.decided, len(audit.right.values), len(verdicts)),
        right=verdicts.count("yes"),
        wrong=verdicts.count("no"),
        cannot_tell=verdicts.count("cannot tell"),
    )


def _image_counts(session: CertificateSession, audit: Audit) -> ImageCounts:
    """Count images."""
    found = list(session.checks.images.values())
    return ImageCounts(
        **_counts(session, "i", audit.images, audit.missed.decided, len(audit.missed.values), len(found)),
        missed=sum(len(one) for one in found if one is not None),
        cannot_tell=found.count(None),
        beyond_K=tuple(Crowded(image, count) for image, count in session.checks.beyond()[:_MOST_LISTED]),
        unreadable=session.units.unreadable,
        stood_for=session.units.stood_for,
    )


def _counts(
    session: CertificateSession, kind: str, units: int, entered: int, drawn: int, checked: int
) -> Mapping[str, int]:
    waiting = sum(name == kind for name, _ in session.waiting())
    return {"units": units, "checked": checked, "drawn": drawn, "known": entered - drawn, "waiting": waiting}


def _disagreement(session: CertificateSession, name: str) -> Disagreement:
    """Return a unit with different answers."""
    place = session.place(name)
    facts = session.described(*place) if place else {"unit": "", "image": ""}
    return Disagreement(id=name, unit=facts["unit"], image=facts["image"])


def _minutes(session: CertificateSession, audit: Audit, precision: Stated, recall: Stated) -> Minutes:
    """Return the working time so far, and an estimate of the rest."""
    stage = session.stage(recall_settled=False)
    wanted = [
        (one, cost)
        for one, cost in ((precision, BOX_SECONDS), (recall, stage.seconds_an_image))
        if one.wanted is not None and not one.certified
    ]
    left: float | None = 0.0
    for one, cost in wanted:
        left = None if left is None or one.more_checks is None else left + one.more_checks * cost / 60
    spent, budget = sum(session.seconds()), session.goals.budget
    within = None if budget is None else _within_budget(session, audit, max(0.0, 60 * budget - spent))
    return Minutes(spent=spent / 60, left=left, budget=budget, within_budget=within)


def _within_budget(session: CertificateSession, audit: Audit, seconds: float) -> WithinBudget:
    """Return how many boxes and images can be checked in the given seconds, and the estimated bounds."""
    stage = session.stage(recall_settled=session.goals.recall is None)
    part = 1.0 if session.goals.recall is None else BOX_PART
    boxes = min(int(part * seconds / BOX_SECONDS), audit.boxes - audit.right.decided)
    images = min(int((1 - part) * seconds / stage.seconds_an_image), audit.images - audit.missed.decided)
    then = Audit(audit.boxes, audit.images, cap=audit.cap, risk=audit.risk)
    then.right, then.wrong = foreseen(audit.right, boxes), foreseen(audit.wrong, boxes)
    then.spare, then.missed = foreseen(audit.spare, images), foreseen(audit.missed, images)
    return WithinBudget(
        boxes=boxes,
        images=images,
        precision_at_least=then.precision().at_least if audit.right.values else None,
        recall_at_least=then.recall().at_least if audit.missed.values and audit.right.values else None,
    )
