"""Score thresholds with a guaranteed precision, from the boxes drawn and checked for a certificate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.certify.audit import ceil_of
from autolabel.certify.checks import Checks
from autolabel.certify.evidence import replay
from autolabel.certify.forecast import faultless_draws, more_draws
from autolabel.certify.ledger import SampledTotals, wealth
from autolabel.errors import DataError
from autolabel.evaluate.calibration import (
    ALL,
    Calibration,
    CalibrationGoal,
    ClassThreshold,
    checked_numbers,
    thresholds,
)
from autolabel.evaluate.precision_bound import STARTS, first_fallback

_Mask = npt.NDArray[np.bool_]


def calibrate_drawn(
    checks: Checks, *, classes: Sequence[str], precision: float, confidence: float = 0.95
) -> Calibration:
    """Choose for each class, and for all together, the lowest score above which ``precision`` is guaranteed.

    Boxes were drawn individually, so they count individually: a threshold uses the same random order, restricted to its
    boxes, and is tested by betting (``certify``), which is valid at any time. Boxes decided outside the draw are known
    but not part of the sample; if all boxes at a threshold are decided, the result is exact. The risk is distributed
    over thresholds by ``first_fallback``. Raises DataError if no box was checked or a number is out of range.
    """
    checked_numbers(precision=precision, confidence=confidence)
    if not checks.boxes:
        raise DataError("no box was checked", hint="`autolabel certify RUN --next N` draws boxes; or give --gt FILE")
    wanted = CalibrationGoal(precision, confidence)
    everything = np.ones(len(checks.units.box_keys), bool)
    places = checks.units.place_of_class
    return Calibration(
        precision=precision,
        confidence=confidence,
        iou=0.5,
        images=0,
        classes=tuple(
            ClassThreshold(name=name, **_choose_drawn(checks, checks.units.of_class(places[name]), wanted))
            for name in classes
            if name in places
        ),
        notes=_notes(checks),
        overall=ClassThreshold(name=ALL, **_choose_drawn(checks, everything, wanted)),
        checks="boxes",
    )


def _notes(checks: Checks) -> tuple[str, ...]:
    """Return notes on the population of the guarantee, if it is not the whole export."""
    others = checks.units.stood_for
    said = f"the guarantee is for one image of each group of near-duplicates; {others:,} others are left out"
    return (said,) if others else ()


def _choose_drawn(checks: Checks, within: _Mask, wanted: CalibrationGoal) -> dict[str, Any]:
    """Return the guarantee for some boxes, (F,), as fields of a row."""
    scores = np.frombuffer(checks.units.scores, np.float64).astype(np.float32)
    levels = thresholds(np.sort(scores[within]))
    ledgers = [_ledger(checks, within & (scores >= level)) for level in levels]
    risk = 1 - wanted.confidence
    chances = np.array([_chance(one, ceil_of(wanted.precision * one.size) - 1) for one in ledgers])
    place = first_fallback(chances, risk) if len(levels) else None
    boxes = int(within.sum())
    if place is None:
        more = _more(ledgers, wanted.precision, risk / STARTS, boxes) if boxes else {}
        return {"threshold": None, "boxes": boxes, "kept": 0, **_told(checks, within), **more}
    at = levels[place]
    kept = within & (scores >= at)
    return {"threshold": float(str(at)), "boxes": boxes, "kept": int(kept.sum()), **_told(checks, kept)}


def _ledger(checks: Checks, within: _Mask) -> SampledTotals:
    ledger = SampledTotals(int(within.sum()))
    for drawn, verdicts in replay(checks.box_rounds, checks.boxes, within):
        for verdict in verdicts:
            (ledger.draw if drawn else _known(ledger))(int(verdict == "yes"))
    return ledger


def _known(ledger: SampledTotals) -> Any:
    return lambda value: ledger.choose([value])


def _chance(ledger: SampledTotals, total: int) -> float:
    """Return an anytime-valid p-value of the hypothesis that at most ``total`` of the boxes are right."""
    if ledger.known > total:
        return 0.0
    if ledger.complete or not ledger.values:
        return 1.0
    return min(1.0, math.exp(-float(wealth(ledger, total).max())))


def _told(checks: Checks, within: _Mask) -> dict[str, Any]:
    verdicts = [verdict for box, verdict in checks.boxes.items() if within[box]]
    right = verdicts.count("yes")
    return {"checked": len(verdicts), "right": right, "precision": right / len(verdicts) if verdicts else None}


def _more(ledgers: Sequence[SampledTotals], precision: float, risk: float, boxes: int) -> dict[str, int]:
    """Estimate how many more boxes of the class to check, at most those left; None if no number suffices."""
    left = ledgers[-1].size - ledgers[-1].decided
    counts = [count for one in ledgers for count in _draws(one, precision, risk, boxes)]
    return {"more_boxes": min(left, math.ceil(min(counts)))} if counts and left else {}


def _draws(ledger: SampledTotals, precision: float, risk: float, boxes: int) -> Iterator[float]:
    """Yield estimates of the draws of the class, of any score, until this ledger has enough."""
    total, undecided = ceil_of(precision * ledger.size) - 1, ledger.size - ledger.decided
    if not ledger.values:
        count = faultless_draws(undecided, total - ledger.known, risk)
    else:
        count = more_draws(ledger, total, risk)
        estimate = ledger.estimate
        if count is None and estimate is not None and estimate > total:
            count = undecided
    if count is not None:
        yield count * boxes / max(ledger.size, 1)
