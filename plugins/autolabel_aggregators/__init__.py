"""Built-in aggregators: reduce the boxes of all rounds to one box per object."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Aggregator
from autolabel_aggregators.dbscan import Dbscan
from autolabel_aggregators.mask_nms import MaskNms
from autolabel_aggregators.nms import Nms
from autolabel_aggregators.soft_nms import SoftNms
from autolabel_aggregators.wbf import Wbf


@hookimpl
def autolabel_aggregators() -> list[type[Aggregator]]:
    """Return the built-in aggregators."""
    return [Nms, SoftNms, MaskNms, Wbf, Dbscan]
