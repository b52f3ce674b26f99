"""What can be set for a training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autolabel.strategies import StrategyParams

Count = Annotated[int, Field(ge=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class CourseSettings(StrategyParams):
    """What every training follows: its length, its rate, its seed."""

    steps: Count = 300
    """Steps of the optimiser; with ``minutes``, as many as fit."""
    minutes: Positive | None = None
    """About how long the training may take, dev checks included."""
    batch: Count = 4
    """Images a step learns from."""
    learning_rate: Positive = 4e-4
    """The rate of all that is not pretrained on images or text."""
    image_tower_rate: Part = 0.1
    """The part of it for the later half of the image tower; the first half and the text tower stay as they are."""
    warmup: Count = 30
    """Steps over which the rate rises."""
    cooldown: Part = 0.7
    """The last part of the steps, over which the rate falls to a hundredth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 5.0
    """The largest norm of a gradient."""
    average: Part = 0.99
    """Momentum of the moving average of weights, which is evaluated and saved."""
    turn: bool = False
    """Whether images are flipped up-down and transposed too: for things that have no upright side."""
    checks: Count = 6
    """How often the weights are judged on the images that are kept for it."""
    seed: Annotated[int, Field(ge=0)] = 0


class TrainingSettings(CourseSettings):
    """What the training of a detector follows."""

    foreign_names: Annotated[int, Field(ge=0, le=20)] = 3
    """Negative phrases added to each prompt, names of objects that no image shows, against false alarms."""
    gradient_checkpointing: bool | None = None
    """Whether activations are computed again instead of kept, which takes less memory and a third more time.

    Null: in networks of more than 50 million parameters.
    """
