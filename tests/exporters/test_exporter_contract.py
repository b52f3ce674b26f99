"""The built-in exporters keep the contract that any package's must keep."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.testing import check_exporter
from autolabel_exporters import autolabel_exporters
from autolabel_exporters.coco import Coco
from autolabel_exporters.yolo import Yolo

CASES: list[tuple[Any, dict[str, Any]]] = [(exporter, {}) for exporter in autolabel_exporters()]
CASES += [(Coco, {"segmentation": "polygons", "path": "a/b.json"}), (Yolo, {"segmentation": True})]


@pytest.mark.parametrize(("exporter", "params"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_the_contract(exporter: Any, params: dict[str, Any]) -> None:
    check_exporter(exporter, params)
