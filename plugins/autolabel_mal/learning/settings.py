"""Settings for training a mask network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autolabel_training.settings import Count, CourseSettings, Part, Positive

_Rate = Annotated[float, Field(ge=0, le=10)]


class MaskTrainingSettings(CourseSettings):
    """Settings for training masks from boxes."""

    steps: Count = 200
    batch: Count = 8
    """Boxes per step."""
    learning_rate: Positive = 3e-4
    """Learning rate of the heads."""
    image_tower_rate: Part = 0.1
    """Factor of the learning rate for the part of the image backbone that is trained."""
    frozen_stages: Annotated[int, Field(ge=-1)] = 4
    """The stem and this many stages (EfficientNet) or blocks (transformer) are frozen; -1 trains everything."""
    warmup: Count = 20
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    clip: Positive = 3.0
    average: Part = 0.98
    """Momentum of the teacher, a moving average of the weights, which is evaluated and saved."""
    smallest_side: Positive = 16.0
    """Boxes with a side below this many pixels are left out."""
    margins: tuple[_Rate, _Rate] = (0.0, 1.2)
    """Minimum and maximum margin of a crop, as a share of the box; half of it is added on each side."""
    recolour: Part = 0.5
    """Share of the crops whose colours are changed."""
    solid: bool = False
    """Whether the objects have no holes; holes in the labels of the mean field are then filled."""
    box_weight: Annotated[float, Field(ge=0)] = 4.0
    """Weight of the loss for masks that do not touch all sides of their box, or leave it."""
    colour_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the loss for mask edges between neighbouring pixels of similar colour."""

    @property
    def backbone_factor(self) -> float:
        """The same as ``image_tower_rate``."""
        return self.image_tower_rate

    @property
    def teacher_momentum(self) -> float:
        """The same as ``average``."""
        return self.average
