"""What formats lose is told by the exporter and by the documentation alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.strategies import Exporter
from autolabel_exporters import autolabel_exporters
from tests.exporters.conftest import Make, make_masks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
WORDS = {
    "masks": "masks",
    "score": "scores",
    "round": "rounds",
    "verdict of a verifier": "verdicts",
    "referring expression": "expressions",
    "empty image": "empty images",
    "box besides the mask": "boxes of objects with a mask",
    "ids and extra fields of input annotations": "fields of input annotations",
}
"""Rows of the table, and how exporters call the same."""
LOST = ("lost", "one or the other", "optional", "polygons, optional")


def table() -> dict[str, dict[str, str]]:
    """The table of the page: row, format, cell."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = [name.strip("`") for name in cells[0]]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in cells[2:] if len(row) == len(head)}


@pytest.mark.parametrize("segmentation", [False, True])
def test_the_verdict_of_a_verifier_is_in_every_file_that_does_not_lose_it(
    exporter: type[Exporter], row: Make, tmp_path: Path, segmentation: bool
) -> None:
    made = row("a.png", [[1, 2, 30, 40], [5, 6, 50, 55]], masks=[make_masks()["plain"], None] if segmentation else None)
    told = replace(made, instances=replace(made.instances, verdicts=(0.12345678, None)))
    exporter(exporter.Params()).export([told], ("cat", "dog"), tmp_path)
    if exporter.name == "parquet":
        from pyarrow.parquet import read_table

        [found] = read_table(tmp_path / "labels.parquet").column("instances").to_pylist()
        assert [one["verdict"] for one in found] == [0.123457, None]
        return
    text = "".join(path.read_text("utf-8", errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    if "verdicts" in exporter.loses:
        assert "0.123457" not in text and "verdict" not in text
    else:
        assert text.count("0.123457") == 1, "the object that it was asked about has it, and no other"


def test_referring_expressions_are_in_every_file_that_does_not_lose_them(
    exporter: type[Exporter], row: Make, tmp_path: Path
) -> None:
    made = row("a.png", [[1, 2, 30, 40], [5, 6, 50, 55]])
    told = replace(made, instances=replace(made.instances, expressions=('the <b>red</b> & "big" one', None)))
    exporter(exporter.Params()).export([told], ("cat", "dog"), tmp_path)
    if exporter.name == "parquet":
        from pyarrow.parquet import read_table

        [found] = read_table(tmp_path / "labels.parquet").column("instances").to_pylist()
        assert [one["expression"] for one in found] == ['the <b>red</b> & "big" one', None]
        return
    text = "".join(path.read_text("utf-8", errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    lost = any(loss.startswith("expressions") for loss in exporter.loses)
    forms = ('the <b>red</b> & \\"big\\" one', 'the &lt;b&gt;red&lt;/b&gt; &amp; "big" one')
    assert sum(map(text.count, forms)) == (0 if lost else 1)


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_table_and_the_exporters_agree(name: str) -> None:
    for one in autolabel_exporters():
        told = any(loss.startswith(WORDS[name]) for loss in one.loses)
        cell = table()[name][one.name]
        if one.name == "yolo" and name == "box besides the mask":
            continue  # boxes by default, masks asked for: told as masks
        assert told == (cell in LOST), f"{one.name}: {name}: {cell}"
