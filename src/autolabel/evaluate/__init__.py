"""Measure a run against the truth."""

from autolabel.callable_package import make_callable
from autolabel.evaluate.calibration import Calibration, calibrate
from autolabel.evaluate.evaluation import Evaluation, evaluate

__all__ = ["Calibration", "Evaluation", "calibrate", "evaluate"]

make_callable(__name__)
