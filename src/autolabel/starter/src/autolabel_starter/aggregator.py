"""An aggregator: which of all the boxes found in an image are kept."""

from __future__ import annotations

import numpy as np
from autolabel.hookspecs import hookimpl
from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from pydantic import Field


class StarterAggregator(Aggregator):
    """Keeps the best boxes of each phrase, however they overlap."""

    name = "starter"

    class Params(Aggregator.Params):
        """The parameters in a spec, beside ``type``."""

        most: int = Field(default=10, ge=1, description="How many boxes of a phrase are kept.")

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the best of ``instances``, the raw union of all rounds so far; an ``nms_threshold`` of 0 means: all."""
        if round.nms_threshold == 0:
            return instances
        order = np.argsort(-instances.scores, kind="stable")
        labels = instances.labels[order]
        best = [order[labels == label][: self.params.most] for label in np.unique(labels)]
        return instances.take(np.concatenate([np.empty(0, np.intp), *best]))


@hookimpl
def autolabel_aggregators() -> list[type[Aggregator]]:
    """Offer the aggregator."""
    return [StarterAggregator]
