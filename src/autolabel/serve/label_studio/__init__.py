"""Label Studio's ML backend protocol: ``/setup``, ``/predict``, ``/webhook``."""

from autolabel.serve.label_studio.backend import Backend
from autolabel.serve.label_studio.decisions import Decisions
from autolabel.serve.label_studio.images import ImagePlaces
from autolabel.serve.label_studio.server import LabelStudioServer

__all__ = ["Backend", "Decisions", "ImagePlaces", "LabelStudioServer"]
