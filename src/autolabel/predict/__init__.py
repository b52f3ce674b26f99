"""Label images that come one by one, as a run would, without a results directory."""

from autolabel.predict.opening import Source, open_predictor
from autolabel.predict.photo import Given
from autolabel.predict.predictor import Predictor

__all__ = ["Given", "Predictor", "Source", "open_predictor"]
