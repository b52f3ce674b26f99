"""Calibrated scores: the data model of ``scores.json``, and its application to rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from shlex import quote
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.errors import DataError
from autolabel.plan.model import Plan
from autolabel.results.store import RunStore
from autolabel.storage import Location, read_regular
from autolabel.types import Instances, Labels

Float64 = npt.NDArray[np.float64]
Method = Literal["isotonic", "logistic"]
_LEAST, _MOST = 1e-4, 1 - 1e-4
"""Scores are taken for no less, and no more, than these."""
_FILE = "scores.json"
_MOST_BYTES = 1 << 26
"""The most bytes of ``scores.json``."""


class MonotoneCurve(msgspec.Struct, frozen=True, kw_only=True):
    """A non-decreasing piecewise linear function."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Maps score, support, class and verdict to a probability.

    A logistic regression on ``logit(score)``, the share of looks that saw a box, the class, and, for verified boxes,
    ``logit(verdict)``; with ``isotonic`` followed by a non-decreasing curve.
    """

    method: Method
    classes: tuple[str, ...]
    """Classes with an offset of their own; others take the mean of all."""
    intercept: float
    score: float
    """The coefficient of ``logit(score)``."""
    support: float
    """The coefficient of the share of looks."""
    offsets: tuple[float, ...]
    """The offset of each class."""
    verdict: float = 0.0
    """The coefficient of ``logit(verdict)``, for boxes with a verdict."""
    verified: float = 0.0
    """The offset of boxes with a verdict."""
    curve: MonotoneCurve | None = None

    def chance(
        self, scores: Float64, share: Float64, classes: Sequence[str], verdicts: Float64 | None = None
    ) -> Float64:
        """Return (N,) probabilities from (N,) scores, shares of looks that saw each box (1 without looks), class names.

        ``verdicts`` are (N,) probabilities by a verifier, NaN for unverified boxes; None if no box was verified.
        """
        offset = dict(zip(self.classes, self.offsets, strict=True))
        mean = float(np.mean(self.offsets)) if self.offsets else 0.0
        added = np.array([offset.get(name, mean) for name in classes], np.float64)
        if verdicts is not None:
            added = added + np.nan_to_num(self.verified + self.verdict * logit(verdicts), nan=0.0)
        chance = _sigmoid(self.intercept + self.score * logit(scores) + self.support * share + added)
        return chance if self.curve is None else np.interp(chance, self.curve.x, self.curve.y)


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """The boxes in one score interval."""

    low: float
    high: float
    boxes: int
    score: float
    """Their mean score."""
    right: float
    """The share of them that is right."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Scores compared with outcomes."""

    error: float
    """Detection expected calibration error by score alone (Kueppers et al., 2020): the mean of |score - right| over
    the bins, weighted by their boxes; 0 if there are no boxes."""
    bins: tuple[Bin, ...]
    """The bins with at least one box."""


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``RUN/scores.json``: the calibration of scores and its data."""

    plan: str
    """Digest of the plan whose scores these are."""
    truth: str
    iou: float
    images: int
    boxes: int
    right: int
    fit: Fit
    before: Reliability
    after: Reliability
    """The reliability of probabilities from fits that had not seen the image."""
    notes: tuple[str, ...] = ()


def curves_file(store: RunStore) -> Location:
    """Return the path of a run's calibration."""
    return store.root / _FILE


def read_chances(store: RunStore, plan: Plan) -> Chances | None:
    """Return a run's score calibration, None if there is none.

    Raises DataError if the file is invalid, or belongs to another plan.
    """
    if not curves_file(store).exists():
        return None
    hint = "write it anew: autolabel calibrate RUN --gt FILE --scores"
    try:
        chances = msgspec.json.decode(read_regular(curves_file(store), most=_MOST_BYTES), type=Chances)
    except msgspec.DecodeError as error:
        raise DataError(
            f"{curves_file(store)}: not what `autolabel calibrate --scores` writes: {error}", hint=hint
        ) from error
    if chances.plan != plan.digest:
        raise DataError(f"{curves_file(store)}: was learned from another plan, {chances.plan[:16]}", hint=hint)
    return chances


def asked_for(store: RunStore, plan: Plan) -> Fit | None:
    """Return the calibration if the spec requests calibrated scores; raises DataError if there is none."""
    if plan.outputs.scores != "calibrated":
        return None
    chances = read_chances(store, plan)
    if chances is None:
        hint = f"autolabel calibrate {quote(str(store.root))} --gt FILE --scores, then the same command again"
        raise DataError(f"{curves_file(store)}: no such file, and output.scores asks for calibrated scores", hint=hint)
    return chances.fit


def calibrated(labels: Labels, fit: Fit | None) -> Labels:
    """Return a row with calibrated scores; given boxes, and all boxes without a fit, keep their scores."""
    found = labels.instances
    if fit is None or not len(found):
        return labels
    names = [labels.prompt.phrases[label] for label in found.labels.tolist()]
    scores, seen = found.scores.astype(np.float64), shares(found)
    chance = fit.chance(scores, seen, names, verdicts(found)).astype(np.float32)
    return replace(labels, instances=replace(found, scores=np.where(found.rounds < 0, found.scores, chance)))


def shares(found: Instances) -> Float64:
    """Return (N,) the share of looks that saw each box; 1 without looks."""
    if found.support is None:
        return np.ones(len(found))
    return np.array([one.looks / one.asked if one.asked else 1.0 for one in found.support], np.float64)


def verdicts(found: Instances) -> Float64:
    """Return (N,) verdicts, NaN for unverified boxes."""
    given = found.verdicts or (None,) * len(found)
    return np.array([np.nan if one is None else one for one in given], np.float64)


def logit(values: Float64) -> Float64:
    """Return log(p / (1 - p)), with p clipped away from 0 and 1."""
    kept = np.clip(values, _LEAST, _MOST)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)


def _sigmoid(values: Float64) -> Float64:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -50, 50))), np.float64)
