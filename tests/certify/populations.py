"""Made runs to certify: boxes that are right or not, candidates, and objects without a right box."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class MadeRun:
    """``box_*`` are kept boxes, ``low_*`` candidates below the threshold, ``lost`` the image of each missed object."""

    size: int
    box_image: Any
    box_score: Any
    right: Any
    low_image: Any
    low_score: Any
    low_right: Any
    lost: Any

    @property
    def boxes_by_image(self) -> Any:
        """(N,) kept boxes of each image."""
        return np.bincount(self.box_image, minlength=self.size)

    @property
    def missed(self) -> Any:
        """(N,) objects of each image that have no right box."""
        return np.bincount(self.lost, minlength=self.size)


def make(
    size: int = 5000,
    seed: int = 0,
    mean: float = 5.0,
    uneven: float = 1.0,
    empty: float = 0.1,
    spread: float = 0.9,
    failed: float = 0.0,
    hidden: float = 0.2,
    precision: float = 0.95,
    recall: float = 0.9,
    group: int = 1,
    low: float = 2.0,
) -> MadeRun:
    """Make a run: images differ in count and difficulty; in a share ``failed`` everything is wrong and missed.

    A share ``hidden`` of the missed has no candidate; ``group`` images share difficulty and count (near-duplicates).
    """
    g, groups = np.random.default_rng(seed), -(-size // group)

    def each(values: Any) -> Any:
        return np.repeat(values, group)[:size]

    hard, bad = each(spread * g.standard_normal(groups)), each(g.random(groups) < failed)
    true = each(g.poisson(mean * g.gamma(uneven, 1 / uneven, groups)) * (g.random(groups) >= empty))
    image = np.repeat(np.arange(size), true)
    value = np.where(bad[image], -9, 1.1 * g.standard_normal(len(image)) - hard[image])
    bar, middle = np.quantile(value, 1 - recall), np.log(0.35 / 0.65)
    found, score = value >= bar, expit(middle + 1.2 * (value - bar))
    shown = ~found & (g.random(len(image)) >= hidden) & ~bad[image]
    wanted = round(found.sum() * (1 - precision) / precision)
    first = g.permutation(np.repeat(np.arange(size)[bad], true[bad]))[:wanted]
    chance = np.exp(hard) * each(g.gamma(0.7, 1 / 0.7, groups)) * (0.3 + true)
    others = g.choice(size, wanted - len(first), p=chance / chance.sum())
    surer = np.where(np.arange(wanted) < len(first), 2.0, 0.9) * np.abs(g.standard_normal(wanted))
    noise = np.repeat(np.arange(size), g.poisson(low * each(g.gamma(0.7, 1 / 0.7, groups)) * (0.5 + true) / 2))
    weak = expit(middle - 0.3 - 1.5 * np.abs(g.standard_normal(len(noise))))
    return MadeRun(
        size,
        np.r_[image[found], first, others],
        np.r_[score[found], expit(middle + surer)],
        np.r_[np.ones(found.sum(), int), np.zeros(wanted, int)],
        np.r_[image[shown], noise],
        np.r_[score[shown], weak],
        np.r_[np.ones(shown.sum(), int), np.zeros(len(noise), int)],
        image[~found],
    )


def worsen(run: MadeRun, precision: float, recall: float, how: str, cap: int, seed: int = 0) -> MadeRun:
    """Bring both just below the wanted: missed objects spread, in clumps (``cap`` an image) or where no box is."""
    g, right, every = np.random.default_rng(seed), run.right.copy(), np.arange(run.size)
    order = np.argsort(g.random(len(right)) if how == "spread" else g.random(run.size)[run.box_image])
    order = order[right[order] > 0]
    right[order[: max(0, int(right.sum()) - (int(np.ceil(precision * len(right))) - 1))]] = 0
    if how == "spread":
        places = g.permutation(np.tile(every, cap))
    elif how == "clump":
        places = np.repeat(g.permutation(run.size), cap)
    else:
        blank = np.repeat(np.setdiff1d(every, run.box_image), cap)
        places = np.r_[g.permutation(blank), np.repeat(every, cap)]
    return replace(run, right=right, lost=places[: int(right.sum() * (1 - recall) / recall) + 1])


KINDS: dict[str, dict[str, Any]] = {
    "typical": {},
    "crowded": {"size": 2000, "mean": 20, "spread": 0.6, "uneven": 3.0, "precision": 0.94},
    "sparse": {"size": 10000, "mean": 1.2, "empty": 0.5, "precision": 0.93, "recall": 0.88},
    "failing": {"failed": 0.03, "spread": 1.0, "precision": 0.93, "recall": 0.88},
    "near-duplicate": {"size": 6000, "group": 20, "spread": 1.0, "precision": 0.94, "recall": 0.88},
    "small": {"size": 1000, "mean": 4, "precision": 0.94},
    "tiny": {"size": 150, "mean": 3},
}


@cache
def made(kind: str, seed: int) -> MadeRun:
    """Return a run of a kind."""
    return make(seed=seed, **KINDS[kind])
