"""Measure a run against the truth."""

from autolabel.evaluate.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
