"""What can be set for the training of masks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autolabel_training.settings import Count, CourseSettings, Part, Positive

_Rate = Annotated[float, Field(ge=0, le=10)]


class MaskTrainingSettings(CourseSettings):
    """What the training of masks from boxes follows."""

    steps: Count = 200
    batch: Count = 8
    """Boxes a step learns from."""
    learning_rate: Positive = 3e-4
    """The rate of the heads."""
    image_tower_rate: Part = 0.1
    """The part of it for the image tower that learns."""
    frozen_stages: Annotated[int, Field(ge=-1)] = 4
    """The stem and this many stages (EfficientNet) or blocks (transformer) stay as they are; -1: all learns."""
    warmup: Count = 20
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    clip: Positive = 3.0
    average: Part = 0.98
    """Momentum of the teacher, the average of weights, which is what is judged and kept."""
    smallest_side: Positive = 16.0
    """Boxes with a side below this many pixels are not learnt from."""
    margins: tuple[_Rate, _Rate] = (0.0, 1.2)
    """Lowest and highest margin of a crop; half of it is added on either side, as a share of the box."""
    recolour: Part = 0.5
    """The part of the crops whose colours are changed."""
    solid: bool = False
    """Whether the objects are known to have no holes: those in the labels of the mean field are then filled."""
    box_weight: Annotated[float, Field(ge=0)] = 4.0
    """Weight of the loss that wants a mask to touch the four sides of its box, and to stay inside."""
    colour_weight: Annotated[float, Field(ge=0)] = 2.0
    """Weight of the loss that wants neighbours of one colour to be on one side of the mask's edge."""

    @property
    def backbone_factor(self) -> float:
        """The same as ``image_tower_rate``."""
        return self.image_tower_rate

    @property
    def teacher_momentum(self) -> float:
        """The same as ``average``."""
        return self.average
