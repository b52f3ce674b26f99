"""The published JSON Schemas are those that the code generates, and what runs write keeps to them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from autolabel.cli.schemas import SCHEMAS, schema_text
from autolabel.results import record
from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle

FOLDER = Path(__file__).resolve().parents[2] / "schema"


@pytest.mark.parametrize("name", ["plan", "labels", "review", "doubts"])
def test_published_schemas_are_fresh(name: str) -> None:
    assert (FOLDER / f"{name}.schema.json").read_text() == schema_text(name), "run: autolabel schema --write schema"


def test_every_schema_is_published() -> None:
    assert {path.name for path in FOLDER.glob("*.schema.json")} == {f"{name}.schema.json" for name in SCHEMAS}


def examples() -> list[Labels]:
    image = Image(id='a\n"ü".jpg', path="", size=(4, 6))
    prompt = Prompt(("cat", "dog"), "a cat")
    found = Instances.build(
        np.array([[0, 0, 1.23456, 2], [1, 1, 2, 2]]),
        scores=[0.123456789, 1],
        labels=[1, 0],
        rounds=[2, -1],
        masks=[Rle((4, 6), "5220007"), None],
        given=[{"id": 7, "note": [1, {"x": None}]}, {}],
        asked=["puppy", None],
        sources=[("one", "two"), ()],
    )
    return [
        Labels(image=image, prompt=prompt, instances=found, caption_index=1, notes=("n",)),
        Labels(image=image, prompt=Prompt(()), instances=Instances.empty()),
        Labels(image=image, prompt=prompt, instances=Instances.empty(), reason=Reason(code="x", message="y")),
    ]


@pytest.mark.parametrize("index", range(3))
def test_lines_keep_to_the_schema_and_survive(index: int) -> None:
    labels = examples()[index]
    line = record.encode_labels(labels, "digest")
    jsonschema.validate(json.loads(line), record.labels_schema())
    again = record.decode_labels(line)
    assert record.encode_labels(again, "digest") == line
    assert (again.state, again.caption_index, again.reason) == (labels.state, labels.caption_index, labels.reason)
    assert again.image.size == (4, 6)


def test_numbers_are_rounded() -> None:
    row = json.loads(record.encode_labels(examples()[0], "digest"))
    assert row["instances"][0]["bbox"] == [0.0, 0.0, 1.235, 2.0]
    assert row["instances"][0]["score"] == 0.123457
