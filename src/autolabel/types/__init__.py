"""The types shared by all packages, based on numpy only."""

from autolabel.types.image import Image, Size
from autolabel.types.instances import GIVEN, Instances, Sample
from autolabel.types.labels import Labels, Reason, State
from autolabel.types.masks import Rle
from autolabel.types.prompt import Prompt
from autolabel.types.provenance import Provenance
from autolabel.types.round import Round

__all__ = [
    "GIVEN",
    "Image",
    "Instances",
    "Labels",
    "Prompt",
    "Provenance",
    "Reason",
    "Rle",
    "Round",
    "Sample",
    "Size",
    "State",
]
