"""The training recipe: frozen records read from YAML."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True)
class ModelRecipe:
    """Sizes of the detector and its initial scale."""

    vocabulary: int
    width: int
    heads: int
    encoder_layers: int
    encoder_feedforward: int
    encoder_points: int
    decoder_layers: int
    decoder_feedforward: int
    decoder_points: int
    queries: int
    text_scale: float
    text_bias: float
    prior_bias: float


@dataclass(frozen=True)
class SetRecipe:
    """How one set of photos is used: cached views per photo, and whether views may be turned."""

    views: int
    turn: bool


@dataclass(frozen=True)
class SceneRecipe:
    """How many scenes are generated, on the photos of which set, with how many shapes at most."""

    backgrounds: str
    train: int
    dev: int
    most_shapes: int


@dataclass(frozen=True)
class MixRecipe:
    """What part of the samples each set gives from step `start` on."""

    start: int
    shares: dict[str, float]


@dataclass(frozen=True)
class LossRecipe:
    """Weights of the loss terms and the width of the dense class targets in box sides."""

    sigma: float
    dense_class_weight: float
    l1_weight: float
    giou_weight: float


@dataclass(frozen=True)
class OptimiserRecipe:
    """Steps, learning rate and its course: warm up, stay constant, cool down over the last part."""

    batch: int
    steps: int
    warmup: int
    cooldown: float
    learning_rate: float
    weight_decay: float
    clip: float
    ema: float


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run computes."""

    seed: int
    threads: int
    cache_workers: int
    image_size: int
    model: ModelRecipe
    sets: dict[str, SetRecipe]
    scenes: SceneRecipe
    mixes: list[MixRecipe]
    loss: LossRecipe
    optimiser: OptimiserRecipe
    choose_on: list[str]
    evaluate_every: int
    save_every: int

    def shares(self, step: int) -> dict[str, float]:
        """Return the shares of the last mix that has started."""
        return [mix.shares for mix in self.mixes if mix.start <= step][-1]

    def features_digest(self) -> str:
        """Return a short hash of what decides the cached features (mixes do not)."""
        views = {name: (recipe.views, recipe.turn) for name, recipe in self.sets.items()}
        scenes = (self.scenes.backgrounds, self.scenes.train, self.scenes.dev, self.scenes.most_shapes)
        text = json.dumps([self.seed, self.image_size, views, scenes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML; an unknown or missing key raises TypeError and names it."""
    return recipe_from(YAML(typ="safe").load(path))


def recipe_from(raw: dict[str, Any]) -> Recipe:
    """Build a recipe from plain nested mappings, as `asdict(recipe)` gives them."""
    sections = {
        "model": ModelRecipe(**raw["model"]),
        "sets": {name: SetRecipe(**values) for name, values in raw["sets"].items()},
        "scenes": SceneRecipe(**raw["scenes"]),
        "mixes": [MixRecipe(**mix) for mix in raw["mixes"]],
        "loss": LossRecipe(**raw["loss"]),
        "optimiser": OptimiserRecipe(**raw["optimiser"]),
    }
    return Recipe(**{**raw, **sections})


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as nested mappings that JSON can hold."""
    return asdict(recipe)
