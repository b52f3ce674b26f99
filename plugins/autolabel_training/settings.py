"""Settings of a training."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autolabel.strategies import StrategyParams

Count = Annotated[int, Field(ge=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class CourseSettings(StrategyParams):
    """Settings of every training: length, learning rate, seed."""

    steps: Count = 300
    """Optimiser steps; with ``minutes``, as many as fit, 20 or more."""
    minutes: Positive | None = None
    """About how long the training may take, including the evaluation on dev images."""
    batch: Count = 4
    """Images per step."""
    warmup: Count = 30
    """Steps over which the learning rate rises."""
    cooldown: Part = 0.7
    """Share of the steps, at the end, over which the learning rate falls to a hundredth."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 5.0
    """Maximum norm of the gradient."""
    average: Part = 0.99
    """Momentum of the moving average of weights, which is evaluated and saved."""
    turn: bool = False
    """Whether images are also flipped up-down and transposed: for objects without an upright side."""
    checks: Count = 6
    """How often the weights are evaluated on the dev images."""
    seed: Annotated[int, Field(ge=0)] = 0


class TrainingSettings(CourseSettings):
    """Settings for training a detector."""

    learning_rate: Positive | None = None
    """Learning rate of the layers that were not pretrained on images or text.

    Null: 0.0004, and 0.0001 for networks of more than 50 million parameters.
    """
    image_tower_rate: Part = 0.1
    """Factor of the rate for the later half of the image backbone; its first half and the text encoder are frozen."""
    balanced: bool = True
    """Whether a class is drawn first and then an image that shows it, so that rare classes are seen as often."""
    mosaics: Part = 0.3
    """Share of the views that consist of crops of four images: objects are smaller, and on other backgrounds."""
    shrunk: Part = 0.05
    """Share of the views that show a whole image at a smaller size."""
    foreign_names: Annotated[int, Field(ge=0, le=20)] = 3
    """Number of names of other objects added to each prompt as negative phrases, against false alarms."""
    start_share: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the weights before the training in those that are evaluated and saved, a weighted mean of both.

    It keeps more of what the detector knew, and costs the new classes little (Wortsman et al., "Robust fine-tuning of
    zero-shot models", arXiv 2109.01903). 0 saves the trained weights alone.
    """
    gradient_checkpointing: bool | None = None
    """Whether activations are computed again instead of kept: less memory, more time.

    Null: in networks of more than 50 million parameters.
    """
