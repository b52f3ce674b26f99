"""Built-in schedulers: confidence thresholds that fall from round to round."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Scheduler
from autolabel_schedulers.cosine import Cosine
from autolabel_schedulers.exponential import Exponential
from autolabel_schedulers.fixed import Fixed
from autolabel_schedulers.step import Step


@hookimpl
def autolabel_schedulers() -> list[type[Scheduler]]:
    """Return the built-in schedulers."""
    return [Fixed, Step, Exponential, Cosine]
