"""Measure a run against the truth."""

from autolabel.evaluate.calibration import Calibration, calibrate
from autolabel.evaluate.evaluation import Evaluation, evaluate

__all__ = ["Calibration", "Evaluation", "calibrate", "evaluate"]
