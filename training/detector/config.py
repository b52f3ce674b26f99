"""The training recipe: frozen records read from YAML."""

from __future__ import annotations

from dataclasses import field

from pydantic.dataclasses import dataclass

from autolabel_training.loss import LossRecipe
from autolabel_training.recipe import STRICT

from .phrases import COLOUR, KINDS


@dataclass(frozen=True, config=STRICT)
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


@dataclass(frozen=True, config=STRICT)
class SetRecipe:
    """How one set of photos is used: cached views per photo, and whether views may be turned."""

    views: int
    """Views of each photo: the first plain, the others crops, recoloured and flipped."""
    turn: bool
    """Whether views are flipped up-down and crops transposed too."""
    whole: int = 0
    """More views of each photo that show all of it, recoloured and flipped: they cut only what it cuts."""
    shrunk: int = 0
    """More views of each photo that show all of it smaller, on a plain ground, for small things."""
    mosaics: int = 0
    """More views of each photo that show crops of it and of three other photos of the set, for sets of few scenes."""
    kept_part: float = 0.4
    """A box that a crop cuts is kept where this part of its area is left."""
    mirror: bool = True
    """Whether views are flipped at all: not where they show writing. `turn` then rotates them."""
    balanced: bool = False
    """Whether a class is drawn first and then a view that shows it, so that rare classes are seen as often."""


@dataclass(frozen=True, config=STRICT)
class SceneRecipe:
    """How many scenes are generated, on the photos of which set, with how many shapes at most.

    `kinds` are the parts of the scenes whose phrases tell colour and shape alone, or a size, a texture, ... too.
    """

    backgrounds: str
    train: int
    dev: int
    most_shapes: int
    kinds: dict[str, float] = field(default_factory=lambda: {COLOUR: 1.0})

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - set(KINDS):
            raise ValueError(f"kinds of scenes are {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")


@dataclass(frozen=True, config=STRICT)
class MixRecipe:
    """What part of the samples each set gives from step `start` on."""

    start: int
    shares: dict[str, float]


@dataclass(frozen=True, config=STRICT)
class OptimiserRecipe:
    """Steps, learning rate and its course: warm up, stay constant, cool down over the last part.

    `image_tower_rate` is the part of the learning rate that the image tower gets.
    """

    batch: int
    steps: int
    warmup: int
    cooldown: float
    learning_rate: float
    image_tower_rate: float
    weight_decay: float
    clip: float
    ema: float


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """Everything that decides what a training run computes."""

    seed: int
    threads: int
    cache_workers: int
    image_size: int
    sets: dict[str, SetRecipe]
    mixes: list[MixRecipe]
    loss: LossRecipe
    optimiser: OptimiserRecipe
    evaluate_on: list[str]
    """Sets whose dev pictures are judged during the run."""
    choose_on: list[str]
    """Those of them whose mean AP, with and without NMS, decides which weights are kept."""
    evaluate_every: int
    save_every_seconds: float
    model: ModelRecipe | None = None
    """Sizes of a fresh detector."""
    start: str | None = None
    """The checkpoint directory to go on from; then `model` is left out."""
    start_share: float = 0.0
    """The part of `start` in the exported weights: they are the weighted mean of what was learned and of `start`.

    It keeps more of what `start` knew (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
    """
    scenes: SceneRecipe | None = None
    bfloat16: bool = False
    """Whether the network without its image tower computes in bfloat16 on a CPU; on a GPU it always does."""

    def __post_init__(self) -> None:
        if (self.model is None) == (self.start is None):
            raise ValueError(
                "a recipe has either `model`, for a fresh detector, or `start`, a checkpoint to go on from"
            )
        if not 0 <= self.start_share < 1 or (self.start_share and self.start is None):
            raise ValueError("`start_share` is at least 0 and below 1, and above 0 only in a recipe with `start`")

    def shares(self, step: int) -> dict[str, float]:
        """Return the shares of the last mix that has started."""
        return [mix.shares for mix in self.mixes if mix.start <= step][-1]
