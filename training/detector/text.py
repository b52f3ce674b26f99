"""The frozen text encoder, its cut vocabulary, and captions whose phrases own exact token spans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig

from .pretrained import text_folder, text_weights_file

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
CLASSIFY, SEPARATE, STOP = 101, 102, 1012  # [CLS], [SEP] and "." of the BERT vocabulary


@dataclass(frozen=True)
class Caption:
    """Token ids (tokens,), text features (tokens, text width), and the token positions of each phrase."""

    ids: list[int]
    features: Tensor
    spans: list[list[int]]


class CaptionEncoder:
    """Frozen features of captions "phrase . phrase .", computed once per phrase.

    Grounding DINO masks attention between phrases and restarts positions at each, so that the features of
    "[CLS]", of every "phrase ." and of "[SEP]" do not depend on the rest of the caption.
    """

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer) -> None:
        self._encoder = encoder.eval()
        self._tokenizer = tokenizer
        self._blocks: dict[tuple[int, ...], Tensor] = {}

    def encode(self, phrases: Sequence[str]) -> Caption:
        """Encode a caption of at least one phrase."""
        ids, parts, spans = [CLASSIFY], [self._block([CLASSIFY])], []
        for phrase in phrases:
            tokens = self._tokenizer.encode(phrase, add_special_tokens=False).ids
            spans.append(list(range(len(ids), len(ids) + len(tokens))))
            parts.append(self._block([*tokens, STOP]))
            ids += [*tokens, STOP]
        return Caption([*ids, SEPARATE], torch.cat([*parts, self._block([SEPARATE])]), spans)

    @torch.no_grad()
    def _block(self, ids: list[int]) -> Tensor:
        key = tuple(ids)
        if key not in self._blocks:
            tokens = torch.tensor([ids])
            output = self._encoder(tokens, attention_mask=torch.ones_like(tokens))
            self._blocks[key] = output.last_hidden_state[0]
        return self._blocks[key]


def text_config(vocabulary: int) -> BertConfig:
    """Return the configuration of MiniLM-L6 with its vocabulary cut to the first entries."""
    return BertConfig.from_pretrained(text_folder(), vocab_size=vocabulary)


def text_weights(vocabulary: int) -> dict[str, Tensor]:
    """Return MiniLM-L6's weights without the pooler, word embeddings cut, rounded to float16, as float32.

    Positions are moved by one. Grounding DINO numbers the tokens of each phrase from 0, and at position 0 BERT has
    only ever seen [CLS]: it takes the first word for one, so that "red star" and "blue star" come out alike (cosine
    0.997, 0.4 % of the variance of shape phrases is colour). At positions from 1 on they do not (34 %).
    """
    state = load_file(text_weights_file())
    kept = {key: value for key, value in state.items() if not key.startswith("pooler") and "position_ids" not in key}
    kept[WORD_EMBEDDINGS] = kept[WORD_EMBEDDINGS][:vocabulary]
    kept[POSITIONS] = torch.cat([kept[POSITIONS][1:], kept[POSITIONS][-1:]])
    return {key: value.half().float() for key, value in kept.items()}


def cut_tokenizer(vocabulary: int) -> Tokenizer:
    """Return MiniLM's tokenizer with the first entries of its vocabulary only: ids stay as they were."""
    raw = json.loads((text_folder() / "tokenizer.json").read_text())
    entries = raw["model"]["vocab"]
    raw["model"]["vocab"] = {token: number for token, number in entries.items() if number < vocabulary}
    raw["truncation"] = raw["padding"] = None
    return Tokenizer.from_str(json.dumps(raw))


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json` and `vocab.txt`, the same entries in the order of their ids."""
    tokenizer.save(str(folder / "tokenizer.json"))
    entries = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in entries))
