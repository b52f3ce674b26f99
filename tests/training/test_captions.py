"""Captions ask for what is in the picture and for things that are not, and answers follow them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from autolabel_training.answer import answer
from training.detector.captions import CaptionWriter
from training.detector.config import Recipe
from training.detector.data import Data
from training.detector.features import SCENES, Sample
from training.detector.text import write_tokenizer

CELLS_NAMED = ("red blood cell", "white blood cell", "platelet")
BOXES = np.array([[0.1, 0.2, 0.3, 0.6], [0.5, 0.5, 0.9, 0.7], [0.0, 0.0, 0.2, 0.2]], np.float32)
CELLS = Sample("bccd", "train", BOXES, ("platelet", "red blood cell", "platelet"))
SCENE = Sample(SCENES, "train", BOXES, ("red star", "blue star", "red star"))


@pytest.fixture
def writer(recipe: Recipe, data: Data) -> CaptionWriter:
    return CaptionWriter(recipe, data)


def test_a_scene_is_asked_for_its_phrases_and_near_misses(writer: CaptionWriter) -> None:
    phrases = writer.for_training(SCENE, random.Random(0))
    assert {"red star", "blue star"} < set(phrases)
    assert len(phrases) == len(set(phrases))
    assert 4 <= len(phrases) <= 7


def test_a_closed_set_is_sometimes_asked_for_a_part(writer: CaptionWriter) -> None:
    captions = [writer.for_training(CELLS, random.Random(seed)) for seed in range(200)]
    complete = {"red blood cell", "white blood cell", "platelet"}
    assert all(set(caption) <= complete and caption for caption in captions)
    parts = sum(set(caption) < complete for caption in captions)
    assert 10 < parts < 50
    assert len({tuple(caption) for caption in captions if len(caption) == 3}) == 6


def test_a_set_of_twelve_names_is_asked_for_all_of_them(recipe: Recipe, data: Data) -> None:
    writer = CaptionWriter(recipe, _named(data, [*CELLS_NAMED, *(f"kind {number}" for number in range(9))]))
    captions = [writer.for_training(CELLS, random.Random(seed)) for seed in range(50)]
    assert sum(len(caption) == 12 for caption in captions) > 25


def test_a_set_of_many_names_is_asked_for_what_is_there_and_some_others(recipe: Recipe, data: Data) -> None:
    writer = CaptionWriter(recipe, _named(data, [*CELLS_NAMED, *(f"kind {number}" for number in range(30))]))
    for seed in range(50):
        caption = writer.for_training(CELLS, random.Random(seed))
        assert set(CELLS.names) < set(caption) and len(caption) <= 2 + 8


def _named(data: Data, names: list[str]) -> Data:
    file = data.root / "bccd" / "train.json"
    coco = json.loads(file.read_text())
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    other = data.root.parent / f"data{len(names)}"
    (other / "bccd").mkdir(parents=True)
    (other / "bccd" / "train.json").write_text(json.dumps(coco))
    return Data(other)


def test_dev_captions_stay_the_same(writer: CaptionWriter) -> None:
    assert writer.for_dev(CELLS, 0) == ["red blood cell", "white blood cell", "platelet"]
    assert writer.for_dev(SCENE, 7) == writer.for_dev(SCENE, 7)
    assert len(writer.for_dev(SCENE, 7)) == 6


def test_the_answer_leaves_out_what_is_not_asked() -> None:
    target = answer(CELLS, ["fig", "platelet"])
    assert target.phrases.tolist() == [1, 1]
    np.testing.assert_allclose(target.boxes.numpy(), [[0.2, 0.4, 0.2, 0.4], [0.1, 0.1, 0.2, 0.2]], atol=1e-6)
    assert answer(CELLS, ["fig"]).boxes.shape == (0, 4)


def test_the_written_vocabulary_is_in_the_order_of_ids(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_tokenizer(tokenizer, tmp_path)
    lines = (tmp_path / "vocab.txt").read_text().splitlines()
    assert len(lines) == 20000
    assert (lines[101], lines[102], lines[1012]) == ("[CLS]", "[SEP]", ".")
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.encode("red star .").ids == tokenizer.encode("red star .").ids
