"""The index of a ledger with a row that no run writes: it hides no other row."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.errors import DataError
from autolabel.results.record import encode_labels
from autolabel.review.row_index import RowIndex
from autolabel.types import Image, Instances, Labels, Prompt


def line(name: str) -> bytes:
    found = Instances.build([[1, 2, 9, 9]], scores=[0.5], labels=[0])
    image = Image(id=name, path="", size=(16, 16))
    return encode_labels(Labels(image=image, prompt=Prompt(("red",)), instances=found), plan="p")


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b'"width":16', b'"width":99999999999'),
        (b'"width":16', b'"width":null'),
        (b'"score":0.5', b'"score":"high"'),
        (b'"phrase":"red"', b'"phrase":7'),
        (b'"round":0', b'"round":0,"sources":{}'),
        (b'"instances":[', b'"instances":0,"other":['),
        (b'"state":"labelled"', b'"state":"lost"'),
    ],
    ids=lambda part: part.decode(),
)
def test_a_row_that_is_wrong_is_named_and_hides_no_other(tmp_path: Path, written: bytes, damaged: bytes) -> None:
    wrong = line("b.png").replace(written, damaged)
    assert wrong != line("b.png")
    ledger = tmp_path / "labels.jsonl"
    ledger.write_bytes(b"".join(each + b"\n" for each in (line("a.png"), wrong, line("c.png"))))
    index = RowIndex(ledger, ("red",), rows=3)
    index.build()

    assert index.wait(seconds=0)
    assert [index.name(row) for row in range(3)] == ["a.png", "b.png", "c.png"]
    assert [index.labels(row).image.id for row in (0, 2)] == ["a.png", "c.png"]
    with pytest.raises(DataError, match=r"labels\.jsonl:2:1: no row of labels: /"):
        index.labels(1)
    index.close()
