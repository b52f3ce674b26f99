"""Learn the probability that a box is right from its score, support, class and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from autolabel.errors import DataError
from autolabel.evaluate.matching import IGNORED, match_boxes
from autolabel.evaluate.scene import Scene
from autolabel.evaluate.scenes import gather_scenes
from autolabel.results.score_curves import Bin, Chances, Fit, Float64, Method, MonotoneCurve, Reliability, logit
from autolabel.storage import Location
from autolabel.types import Labels

_Int64 = npt.NDArray[np.int64]
_Bool = npt.NDArray[np.bool_]

_BINS = 10
_FOLDS = 5
_FEW = 20
"""A class with fewer checked boxes, or with only right or only wrong ones, gets no parameter of its own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedBoxes:
    """N found boxes, column by column."""

    images: _Int64
    """The number of each box's image."""
    scores: Float64
    share: Float64
    """The share of looks that saw a box; 1 without looks."""
    classes: tuple[str, ...]
    right: _Bool
    verdicts: Float64 | None = None
    """The verdict on each box, NaN if it was not verified; None if no box was."""

    def take(self, chosen: _Bool) -> JudgedBoxes:
        """Return the chosen boxes, in the same order."""
        return JudgedBoxes(
            images=self.images[chosen],
            scores=self.scores[chosen],
            share=self.share[chosen],
            classes=tuple(name for name, one in zip(self.classes, chosen.tolist(), strict=True) if one),
            right=self.right[chosen],
            verdicts=None if self.verdicts is None else self.verdicts[chosen],
        )


def learn(
    labels: Iterable[Labels],
    truth: Location,
    *,
    plan: str,
    iou: float,
    method: Method,
    names: Mapping[str, str] | None = None,
) -> Chances:
    """Calibrate a run's scores with the images of ``truth``, a COCO file that lists all of their objects.

    A box is right if it overlaps a true one of its class by ``iou`` or more that no higher-scoring box matches. Raises
    DataError if the file is invalid, shares nothing with the run, or no box was found in its images.
    """
    shared = gather_scenes(labels, truth, names=names)
    boxes = judged(shared.scenes, shared.classes, iou=iou)
    if not len(boxes.scores):
        raise DataError(f"{truth}: no box was found in its images, so nothing can be learned about scores")
    return Chances(
        plan=plan,
        truth=truth.name,
        iou=iou,
        images=len(shared.scenes),
        boxes=len(boxes.scores),
        right=int(boxes.right.sum()),
        fit=fit(boxes, method=method),
        before=reliability(boxes.scores, boxes.right),
        after=reliability(cross_fitted(boxes, method=method), boxes.right),
        notes=shared.notes,
    )


def judged(scenes: Sequence[Scene], classes: Sequence[str], *, iou: float) -> JudgedBoxes:
    """Return the boxes found in the scenes, without those in crowds, and whether they are right."""
    matches = [match_boxes(scene, iou) for scene in scenes]
    keep = [matched != IGNORED for matched in matches]
    pairs = list(zip(scenes, keep, strict=True))
    numbers = np.concatenate([np.zeros(0, np.int64), *(scene.found.classes[kept] for scene, kept in pairs)])
    return JudgedBoxes(
        images=np.concatenate([np.zeros(0, np.int64), *(np.full(kept.sum(), n) for n, kept in enumerate(keep))]),
        scores=np.concatenate([np.zeros(0), *(scene.scores[kept] for scene, kept in pairs)]),
        share=np.concatenate([np.zeros(0), *(scene.shares[kept] for scene, kept in pairs)]),
        classes=tuple(classes[number] for number in numbers.tolist()),
        right=np.concatenate([np.zeros(0, bool), *(one[kept] >= 0 for one, kept in zip(matches, keep, strict=True))]),
        verdicts=np.concatenate([np.zeros(0), *(scene.verdicts[kept] for scene, kept in pairs)]),
    )


def reliability(scores: Float64, right: _Bool, *, bins: int = _BINS) -> Reliability:
    """Compare (N,) scores in [0, 1] with whether the boxes are right, in bins of equal width."""
    made = tuple(_filled(scores, right, bins))
    total = max(1, len(scores))
    return Reliability(error=sum(abs(one.score - one.right) * one.boxes for one in made) / total, bins=made)


def _filled(scores: Float64, right: _Bool, bins: int) -> Iterator[Bin]:
    """Yield the bins that hold a box, from the lowest."""
    place = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    for index in np.unique(place).tolist():
        here = place == index
        yield Bin(
            low=index / bins,
            high=(index + 1) / bins,
            boxes=int(here.sum()),
            score=float(scores[here].mean()),
            right=float(right[here].mean()),
        )


def fit(boxes: JudgedBoxes, *, method: Method) -> Fit:
    """Fit the calibration to checked boxes; if all or none are right, every probability is about that share."""
    right = boxes.right
    names = tuple(name for name in sorted(set(boxes.classes)) if _told_apart(boxes.classes, right, name))
    if right.all() or not right.any():
        level = float(logit(np.array([(right.sum() + 1) / (len(right) + 2)]))[0])
        return Fit(method=method, classes=(), intercept=level, score=0.0, support=0.0, offsets=())
    from sklearn.linear_model import LogisticRegression

    of_class = (np.array([one == name for one in boxes.classes], np.float64) for name in names)
    columns = [logit(boxes.scores), boxes.share, *of_class]
    asked = boxes.verdicts is not None and bool(np.isfinite(boxes.verdicts).any())
    if boxes.verdicts is not None and asked:
        columns += [np.nan_to_num(logit(boxes.verdicts), nan=0.0), np.isfinite(boxes.verdicts).astype(np.float64)]
    model = LogisticRegression(C=10.0, max_iter=1000).fit(np.column_stack(columns), right)
    score, support, *offsets = (float(value) for value in model.coef_[0])
    verdict, verified = (offsets.pop(-2), offsets.pop()) if asked else (0.0, 0.0)
    made = Fit(
        method=method,
        classes=names,
        intercept=float(model.intercept_[0]),
        score=score,
        support=support,
        offsets=tuple(offsets),
        verdict=verdict,
        verified=verified,
    )
    return made if method == "logistic" else _bent(made, chance(made, boxes), right)


def chance(made: Fit, boxes: JudgedBoxes) -> Float64:
    """Return the probabilities (N,) of boxes by a fit."""
    return made.chance(boxes.scores, boxes.share, boxes.classes, boxes.verdicts)


def _told_apart(classes: Sequence[str], right: _Bool, name: str) -> bool:
    """Return whether enough boxes of a class were checked for a parameter of its own."""
    mine = right[np.array([one == name for one in classes], np.bool_)]
    return len(mine) >= _FEW and 0 < mine.sum() < len(mine)


def _bent(made: Fit, chance: Float64, right: _Bool) -> Fit:
    """Return a fit with an isotonic curve from its probabilities to the outcomes."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(chance, right)
    x, y = model.X_thresholds_.tolist(), model.y_thresholds_.tolist()
    return replace(made, curve=MonotoneCurve(x=tuple(x), y=tuple(y)))


def cross_fitted(boxes: JudgedBoxes, *, method: Method) -> Float64:
    """Return (N,) cross-validated probabilities, in five folds of images.

    With fewer than two images, the scores are returned.
    """
    out = boxes.scores.astype(np.float64).copy()
    parts, place = np.unique(boxes.images, return_inverse=True)
    deal = np.random.default_rng(0).permutation(len(parts)) % min(_FOLDS, max(1, len(parts)))
    for fold in range(deal.max(initial=0) + 1) if len(parts) > 1 else ():
        held = deal[place] == fold
        out[held] = chance(fit(boxes.take(~held), method=method), boxes.take(held))
    return out
