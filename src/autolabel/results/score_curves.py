"""Scores as chances of being right, by what was learnt of a run from checked images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    """A non-decreasing line through points."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Turns score, support, class and verdict into a chance.

    A logistic regression of ``logit(score)``, of the share of looks that saw a box, of the class, and, where boxes were
    verified, of ``logit(verdict)``; for ``isotonic`` its result goes through a non-decreasing curve.
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
        """Return (N,) chances from (N,) scores, shares of looks that saw each box (1 without looks), class names.

        ``verdicts`` are (N,) chances by a verifier, NaN if it was not asked; None: it was asked about no box.
        """
        offset = dict(zip(self.classes, self.offsets, strict=True))
        mean = float(np.mean(self.offsets)) if self.offsets else 0.0
        added = np.array([offset.get(name, mean) for name in classes], np.float64)
        if verdicts is not None:
            added = added + np.nan_to_num(self.verified + self.verdict * logit(verdicts), nan=0.0)
        chance = _sigmoid(self.intercept + self.score * logit(scores) + self.support * share + added)
        return chance if self.curve is None else np.interp(chance, self.curve.x, self.curve.y)


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """The boxes whose scores lie between two values."""

    low: float
    high: float
    boxes: int
    score: float
    """Their mean score."""
    right: float
    """The share of them that is right."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Scores beside what came true."""

    error: float
    """Detection expected calibration error by score alone (Kueppers et al., 2020): the mean of |score - right| over
    the bins, weighted by their boxes; 0 if there are no boxes."""
    bins: tuple[Bin, ...]
    """The bins with at least one box."""


class Chances(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``RUN/scores.json``: how scores become probabilities, and the data behind it."""

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
    """Return where a run's chances lie."""
    return store.root / _FILE


def read_chances(store: RunStore, plan: Plan) -> Chances | None:
    """Return what was learnt of a run's scores, None if nothing was.

    Raises DataError if the file is none, or speaks of another plan.
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
        raise DataError(f"{curves_file(store)}: was learnt of another plan, {chances.plan[:16]}", hint=hint)
    return chances


def asked_for(store: RunStore, plan: Plan) -> Fit | None:
    """Return how to turn scores into chances where the spec asks for it; raises DataError if that is not known."""
    if plan.outputs.scores != "calibrated":
        return None
    chances = read_chances(store, plan)
    if chances is None:
        hint = f"autolabel calibrate {store.root} --gt FILE --scores, then the same command again"
        raise DataError(f"{curves_file(store)}: no such file, and output.scores asks for calibrated scores", hint=hint)
    return chances.fit


def calibrated(labels: Labels, fit: Fit | None) -> Labels:
    """Return a row with chances in place of scores; given boxes keep theirs, as does all where there is no fit."""
    found = labels.instances
    if fit is None or not len(found):
        return labels
    names = [labels.prompt.phrases[label] for label in found.labels.tolist()]
    scores, seen = found.scores.astype(np.float64), shares(found)
    chance = fit.chance(scores, seen, names, verdicts(found)).astype(np.float32)
    return replace(labels, instances=replace(found, scores=np.where(found.rounds < 0, found.scores, chance)))


def shares(found: Instances) -> Float64:
    """Return (N,) the share of the looks that were asked which saw each box; 1 if an image was seen in none."""
    if found.support is None:
        return np.ones(len(found))
    return np.array([one.looks / one.asked if one.asked else 1.0 for one in found.support], np.float64)


def verdicts(found: Instances) -> Float64:
    """Return (N,) chances by a verifier, NaN if it was not asked about a box."""
    given = found.verdicts or (None,) * len(found)
    return np.array([np.nan if one is None else one for one in given], np.float64)


def logit(values: Float64) -> Float64:
    """Return log(p / (1 - p)), p kept a little away from 0 and 1."""
    kept = np.clip(values, _LEAST, _MOST)
    return np.asarray(np.log(kept / (1 - kept)), np.float64)


def _sigmoid(values: Float64) -> Float64:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -50, 50))), np.float64)
