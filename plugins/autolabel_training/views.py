"""Draw the view of a photo that a step learns from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol

from autolabel_training.augment import View, mosaic_view, random_view, shrunk_view, whole_view
from autolabel_training.photo import TrainingPhoto

_WHOLE = 0.4
"""The part of the other views that show all of a photo; the rest are crops."""
_KEPT_PART = 0.6
"""A box that a crop cuts is kept where this part of its area is left."""
_BESIDE = 3
"""The other photos of a mosaic."""


class _ViewSettings(Protocol):
    """The fields of a training's settings that are read here."""

    @property
    def turn(self) -> bool:
        """Whether views are flipped up-down and transposed too."""

    @property
    def mosaics(self) -> float:
        """The part of the views that show four photos."""

    @property
    def shrunk(self) -> float:
        """The part of the views that show a photo smaller."""

    @property
    def balanced(self) -> bool:
        """Whether a class is drawn before a photo."""


class Views:
    """Photos to draw views from; ``side`` is that of a mosaic in pixels, None: it is as large as a photo."""

    def __init__(self, photos: Sequence[TrainingPhoto], settings: _ViewSettings, *, side: int | None) -> None:
        self._photos, self._settings, self._side = photos, settings, side
        self._empty = [photo for photo in photos if not photo.names]
        names = sorted({name for photo in photos for name in photo.names})
        self._showing = [[photo for photo in photos if name in photo.names] for name in names]

    def draw(self, rng: random.Random) -> View:
        """Return the view of a photo drawn at random: a mosaic, the photo shrunk, whole, or a crop of it."""
        settings, photo, kind = self._settings, self._photo(rng), rng.random()
        if kind < settings.mosaics:
            beside = [self._photo(rng) for _ in range(_BESIDE)]
            return mosaic_view([photo, *beside], self._side, rng=rng, kept_part=_KEPT_PART)
        if kind < settings.mosaics + settings.shrunk:
            return shrunk_view(photo, None, rng=rng)
        if not photo.names or rng.random() < _WHOLE:
            return whole_view(photo, None, rng=rng, turn=settings.turn)
        return random_view(photo, None, rng=rng, turn=settings.turn, kept_part=_KEPT_PART)

    def _photo(self, rng: random.Random) -> TrainingPhoto:
        """Return a photo; if ``balanced``, one that shows a drawn class. Photos without boxes keep their share."""
        if not self._settings.balanced or not self._showing:
            return rng.choice(self._photos)
        if rng.random() < len(self._empty) / len(self._photos):
            return rng.choice(self._empty)
        return rng.choice(rng.choice(self._showing))
