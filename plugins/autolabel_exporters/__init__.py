"""The built-in exporters."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Exporter
from autolabel_exporters.coco import Coco
from autolabel_exporters.coco_results import CocoResults
from autolabel_exporters.odvg import Odvg


@hookimpl
def autolabel_exporters() -> list[type[Exporter]]:
    """Return the built-in exporters."""
    return [Coco, CocoResults, Odvg]
