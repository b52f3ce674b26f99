"""The text tower that ships tells a phrase's first word: colours are not lost."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from training.detector.features import load_tensors
from training.detector.text import CaptionEncoder

TINY = Path(__file__).parents[2] / "checkpoints" / "tiny"


def test_the_first_word_of_a_phrase_counts(tokenizer: Tokenizer) -> None:
    config = json.loads((TINY / "config.json").read_text())["text_config"]
    tower = BertModel(BertConfig(**config), add_pooling_layer=False)
    tower.load_state_dict(load_tensors(TINY, "model.text_backbone."), strict=False)
    encoder = CaptionEncoder(tower.float(), tokenizer)
    red, blue, circle = (encoder.encode([phrase]).features[1] for phrase in ("red star", "blue star", "red circle"))
    likeness = torch.nn.functional.cosine_similarity
    assert likeness(red, blue, dim=0) < 0.95  # 0.997 where the first word sits at the position of [CLS]
    assert likeness(red, circle, dim=0) < 0.95
