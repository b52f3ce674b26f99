"""The built-in exporters keep the contract that any package's must keep."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.testing import check_exporter
from autolabel_exporters.coco import Coco
from autolabel_exporters.yolo import Yolo

SET: list[tuple[Any, dict[str, Any]]] = [
    (Coco, {"segmentation": "polygons", "path": "a/b.json"}),
    (Yolo, {"segmentation": True}),
]


def test_the_contract(exporter: Any) -> None:
    check_exporter(exporter, {})


@pytest.mark.parametrize(("strategy", "params"), SET, ids=lambda value: getattr(value, "name", ""))
def test_the_contract_with_parameters(strategy: Any, params: dict[str, Any]) -> None:
    check_exporter(strategy, params)
