"""Choose which boxes to correct before a draw, so that a precision is certified with the least work."""

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
    """Return the predicted probability that each box is wrong, (F,).

    ``scores`` in [0, 1] and ``classes`` cover all boxes, (F,); ``answered`` are the indices of answered boxes and
    ``wrong`` their verdicts, both (A,). ``against`` (F, K), from 0 to 1, is further evidence against a box. The model
    is a logistic regression on logit(score), evidence and class, fitted on all answers. With fewer than FEW_ANSWERS, it
    is 1 - score, with the score lowered by up to a half for each evidence. Predictions only order the work; they do not
    affect the validity of bounds.
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
    """Return how many boxes, the most likely wrong ones, to check before drawing from the rest.

    ``wrong`` are the predicted probabilities of all undecided boxes, descending; ``kept`` is the number of boxes once
    known wrong ones are removed. The number minimises itself plus the draws that then certify ``share``, which are
    about log(5 / risk) / max over stakes c of (1 - q) log(1 - c + c / (1 - a)) + q log(1 - c), where a share q of the
    rest is wrong and a share a may be.
    """
    return _split(wrong, kept, share, risk)[0]


def expected_draws(wrong: Float64, *, kept: float, share: float, risk: float = 0.05) -> float:
    """Estimate the number of boxes to check in all, chosen and drawn, with the best split."""
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
