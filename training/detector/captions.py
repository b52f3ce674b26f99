"""What is asked of each picture: a caption of its own, and which of its boxes answer it."""

from __future__ import annotations

import random

from .config import Recipe
from .data import Data
from .features import SCENES, Sample
from .phrases import near_misses

FOREIGN_SHARE = 0.4
FOREIGN_NAMES = 3
SUBSET_SHARE = 0.2
MANY_NAMES = 12  # a set with more names than this is asked for those in the picture and some others
OTHER_NAMES = 8
DEV_NEAR_MISSES = 4


class CaptionWriter:
    """Draws captions from the names of every set of the recipe."""

    def __init__(self, recipe: Recipe, data: Data) -> None:
        self._names = {dataset: data.names(dataset) for dataset in recipe.sets}
        self._all_names = sorted({name for names in self._names.values() for name in names})

    def for_training(self, sample: Sample, rng: random.Random) -> list[str]:
        """Return shuffled phrases: those of the picture or its set, with phrases that are not to be found."""
        present = sorted(set(sample.names))
        if sample.dataset == SCENES:
            phrases = present + near_misses(present, rng=rng, count=rng.randint(2, 5))
        elif len(self._names[sample.dataset]) > MANY_NAMES:
            phrases = present + self._foreign(present, OTHER_NAMES, rng)
        else:
            phrases = self._closed_set(sample.dataset, rng)
        rng.shuffle(phrases)
        return phrases

    def for_dev(self, sample: Sample, row: int) -> list[str]:
        """Return the names of the set in order, or for a scene its phrases among near misses, the same each time."""
        if sample.dataset != SCENES:
            return self._names[sample.dataset]
        rng = random.Random(row)
        present = sorted(set(sample.names))
        phrases = present + near_misses(present, rng=rng, count=DEV_NEAR_MISSES)
        rng.shuffle(phrases)
        return phrases

    def _closed_set(self, dataset: str, rng: random.Random) -> list[str]:
        names = list(self._names[dataset])
        if rng.random() < SUBSET_SHARE:
            names = rng.sample(names, rng.randint(1, len(names)))
        if rng.random() < FOREIGN_SHARE:
            names += self._foreign(self._names[dataset], FOREIGN_NAMES, rng)
        return names

    def _foreign(self, known: list[str], count: int, rng: random.Random) -> list[str]:
        return [name for name in rng.sample(self._all_names, min(count, len(self._all_names))) if name not in known]
