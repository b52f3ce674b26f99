"""The settings of a training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autolabel.strategies import StrategyParams

_Count = Annotated[int, Field(ge=1)]
_Part = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]


class TrainingSettings(StrategyParams):
    """The settings of a detector's training."""

    steps: _Count = 300
    """Steps of the optimiser; with ``minutes``, as many as fit."""
    minutes: _Positive | None = None
    """About how long the training may take, dev checks included."""
    batch: _Count = 4
    """Images a step learns from."""
    learning_rate: _Positive = 4e-4
    """The rate of all that is not pretrained on images or text."""
    image_tower_rate: _Part = 0.1
    """The part of it for the later half of the image tower; the first half and the text tower stay as they are."""
    warmup: _Count = 30
    """Steps over which the rate rises."""
    cooldown: _Part = 0.7
    """The last part of the steps, over which the rate falls to a hundredth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: _Positive = 5.0
    """The largest norm of a gradient."""
    average: _Part = 0.99
    """Momentum of the average of weights, which is what is judged and kept."""
    foreign_names: Annotated[int, Field(ge=0, le=20)] = 3
    """Names of things that no image shows which are asked beside the classes, so that they are not found everywhere."""
    turn: bool = False
    """Whether images are flipped up-down and transposed too: for things that have no upright side."""
    checks: _Count = 6
    """The number of evaluations on the dev images."""
    seed: Annotated[int, Field(ge=0)] = 0
