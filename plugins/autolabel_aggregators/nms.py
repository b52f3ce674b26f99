"""Greedy non-maximum suppression."""

from __future__ import annotations

from pydantic import Field

from autolabel.strategies import Aggregator
from autolabel.types import Instances, Round
from autolabel.types.suppression import suppress
from autolabel_aggregators.precedence import precedence


class Nms(Aggregator):
    """Keep the best box, drop the boxes that overlap it, and repeat with the next best; kept boxes are not changed."""

    name = "nms"

    class Params(Aggregator.Params):
        """The overlap above which a box is dropped."""

        threshold: float = Field(
            default=0.7,
            ge=0,
            le=1,
            description="A box is dropped if its IoU with a better one is above this; 0: none is.",
        )
        across_labels: bool = Field(
            default=False,
            description="Whether a box can drop one of another label; otherwise labels are processed separately.",
        )

    params: Params

    def aggregate(self, instances: Instances, round: Round) -> Instances:
        """Return the boxes that no better kept box overlaps by more than the threshold, best first.

        Better: a higher score; of equals, the earlier round, then the earlier position. The limit is torchvision's: an
        IoU equal to the threshold does not drop a box. ``round.nms_threshold`` replaces the threshold; at 0 the input
        is returned unchanged.
        """
        threshold = self.params.threshold if round.nms_threshold is None else round.nms_threshold
        if threshold == 0 or not len(instances):
            return instances
        groups = None if self.params.across_labels else instances.labels
        return instances.take(suppress(instances.boxes, precedence(instances), threshold=threshold, groups=groups))
