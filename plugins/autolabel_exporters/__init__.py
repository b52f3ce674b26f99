"""The built-in exporters."""

from __future__ import annotations

from autolabel.hookspecs import hookimpl
from autolabel.strategies import Exporter
from autolabel_exporters.coco import Coco
from autolabel_exporters.coco_results import CocoResults
from autolabel_exporters.cvat import Cvat
from autolabel_exporters.kitti import Kitti
from autolabel_exporters.label_studio import LabelStudio
from autolabel_exporters.labelme import Labelme
from autolabel_exporters.odvg import Odvg
from autolabel_exporters.parquet import Parquet
from autolabel_exporters.tao import Tao
from autolabel_exporters.voc import Voc
from autolabel_exporters.yolo import Yolo


@hookimpl
def autolabel_exporters() -> list[type[Exporter]]:
    """Return the built-in exporters."""
    return [Coco, CocoResults, Cvat, Kitti, LabelStudio, Labelme, Odvg, Parquet, Tao, Voc, Yolo]
