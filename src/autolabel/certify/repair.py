"""Which boxes to check by choice before drawing from the rest, so that a wanted precision takes the least work."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autolabel.certify.ledger import STAKES

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
FIRST = 60
"""Boxes that are drawn before anything is predicted."""
FEW_ANSWERS = 20
"""With fewer answers, or answers of one kind only, boxes are ordered by score."""


def chance_of_wrong(
    scores: Float64,
    classes: Int64,
    *,
    answered: Int64,
    wrong: npt.NDArray[np.bool_],
    against: Float64 | None = None,
) -> Float64:
    """Return the predicted chance that each box is wrong, (F,).

    ``scores`` in [0, 1] and ``classes`` are of all boxes, (F,); ``answered`` are the places of those with an answer,
    and ``wrong`` says which of them are, both (A,). ``against`` (F, K) are numbers from 0 to 1 for what else speaks
    against a box. Logistic in logit(score), those and class, refitted on all answers; below FEW_ANSWERS by the score,
    which each of them lowers by up to a half. It only sets the order of work: a bad prediction costs work, never truth.
    """
    others = np.zeros((len(scores), 0)) if against is None else against
    if len(answered) < FEW_ANSWERS or wrong.all() or not wrong.any():
        lowered: Float64 = 1 - scores * (1 - others / 2).prod(axis=1)
        return lowered
    from sklearn.linear_model import LogisticRegression

    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))[:, None]
    names = np.unique(classes[answered])
    columns = np.concatenate([logit, others, (classes[:, None] == names[None, 1:]).astype(np.float64)], axis=1)
    model = LogisticRegression(C=1.0, max_iter=200).fit(columns[answered], wrong)
    out: Float64 = model.predict_proba(columns)[:, 1]
    return out


def by_choice(wrong: Float64, *, kept: float, share: float, risk: float = 0.05) -> int:
    """Return how many boxes to check by choice, the likeliest wrong ones, before drawing from the rest.

    ``wrong`` are the predicted chances of all undecided boxes, falling; ``kept`` boxes stay once the wrong ones that
    are known are removed. That number has the least sum of itself and the draws that then certify ``share``: about
    log(5 / risk) / max over stakes c of (1 - q) log(1 - c + c / (1 - a)) + q log(1 - c), where q of the rest are wrong
    and a may be.
    """
    return _split(wrong, kept, share, risk)[0]


def expected_draws(wrong: Float64, *, kept: float, share: float, risk: float = 0.05) -> float:
    """Return about how many boxes are checked in all, by choice and then drawn, with the best split."""
    return _split(wrong, kept, share, risk)[1]


def _split(wrong: Float64, kept: float, share: float, risk: float) -> tuple[int, float]:
    best, where = float(len(wrong)), len(wrong)
    gone, stakes = np.append(0, np.cumsum(wrong)), STAKES[:-1, 0]
    parts = np.unique(np.append(0, np.geomspace(1, max(len(wrong) - 1, 1), 60).astype(int)))
    for part in parts[parts < len(wrong)]:
        rest = len(wrong) - part
        allowed = min((1 - share) * (kept - gone[part]) / rest, 0.999)
        expected = min((gone[-1] - gone[part]) / rest, 1.0)
        growth = _growth(allowed, expected, stakes) if allowed > 0 else 0.0
        if growth > 0 and part + math.log(5 / risk) / growth < best:
            best, where = part + math.log(5 / risk) / growth, int(part)
    return where, best


def _growth(allowed: float, expected: float, stakes: Float64) -> float:
    gains = (1 - expected) * np.log(1 - stakes + stakes / (1 - allowed)) + expected * np.log(1 - stakes)
    return float(gains.max())
