"""The exporter keeps autolabel's contract."""

from __future__ import annotations

import json
from pathlib import Path

from autolabel.testing import check_exporter, example_labels

from autolabel_starter.exporter import StarterExporter


def test_it_keeps_the_contract() -> None:
    check_exporter(StarterExporter, {})


def test_every_image_has_a_line(tmp_path: Path) -> None:
    labels = example_labels()
    [path] = StarterExporter(StarterExporter.Params()).export(labels, (), tmp_path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["state"] for line in lines] == [row.state for row in labels]
    assert sum(lines[0]["counts"].values()) == len(labels[0].instances)
