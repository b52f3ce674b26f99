"""The training recipe of the mask network: frozen records read from YAML."""

from __future__ import annotations

from dataclasses import field

from pydantic.dataclasses import dataclass

from autolabel_mal.learning.crops import CropRecipe
from autolabel_mal.learning.loss import MaskLossRecipe
from autolabel_mal.sizes import Arch
from autolabel_training.recipe import STRICT


@dataclass(frozen=True, config=STRICT)
class ModelRecipe:
    """The network, where its weights start, and how much of its backbone keeps them."""

    arch: Arch
    crop_size: int
    initial: str
    """``imagenet`` (EfficientNet-lite0 only), ``random``, or the path of a MAL checkpoint."""
    frozen_stages: int
    """The stem and this many stages (EfficientNet) or blocks (transformer) keep their weights; -1: none is frozen."""


@dataclass(frozen=True, config=STRICT)
class SetRecipe:
    """How one set of photos is used."""

    share: float
    """Part of the samples of a step."""
    turn: bool
    """Whether crops may be flipped up-down and transposed too."""
    solid: bool
    """Whether its objects are known to have no holes: those in the labels of the mean field are then filled."""


@dataclass(frozen=True, config=STRICT)
class SceneRecipe:
    """How many scenes are generated, on the photos of which set, their side in pixels, their part of the samples."""

    backgrounds: str
    train: int
    dev: int
    size: int
    most_shapes: int
    share: float


@dataclass(frozen=True, config=STRICT)
class OptimiserRecipe:
    """Steps, learning rate and its course: warm up, stay constant, cool down over the last part."""

    batch: int
    steps: int
    warmup: int
    cooldown: float
    learning_rate: float
    backbone_factor: float
    """Learning rate of the unfrozen backbone, as a part of the heads'."""
    weight_decay: float
    clip: float
    teacher_momentum: float


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that decides what a training run computes."""

    seed: int
    threads: int
    workers: int
    """Threads that cut crops ahead of the training loop; 0: the loop cuts them itself."""
    model: ModelRecipe
    crops: CropRecipe
    loss: MaskLossRecipe
    optimiser: OptimiserRecipe
    evaluate_every: int
    save_every_seconds: float
    sets: dict[str, SetRecipe] = field(default_factory=dict)
    scenes: SceneRecipe | None = None
