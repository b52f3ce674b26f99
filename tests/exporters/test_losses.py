"""What formats lose is told by the exporter and by the documentation alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel_exporters import autolabel_exporters

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
WORDS = {
    "masks": "masks",
    "score": "scores",
    "round": "rounds",
    "empty image": "empty images",
    "box beside the mask": "boxes of objects with a mask",
    "ids and extra fields of input annotations": "fields of input annotations",
}
"""Rows of the table, and how exporters call the same."""
LOST = ("lost", "one or the other", "asked for", "polygons, asked for")


def table() -> dict[str, dict[str, str]]:
    """The table of the page: row, format, cell."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = [name.strip("`") for name in cells[0]]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in cells[2:] if len(row) == len(head)}


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_table_and_the_exporters_agree(name: str) -> None:
    for one in autolabel_exporters():
        told = any(loss.startswith(WORDS[name]) for loss in one.loses)
        cell = table()[name][one.name]
        if one.name == "yolo" and name == "box beside the mask":
            continue  # boxes by default, masks asked for: told as masks
        assert told == (cell in LOST), f"{one.name}: {name}: {cell}"
