"""Encode captions: each phrase is encoded alone, and captions are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from autolabel.transfer import to_device
from autolabel_labeling.tokenizer import SEPARATORS

_CAPTIONS, _PHRASES = 512, 4096
"""The number of captions and phrases whose features are cached; the least recently used is dropped first."""


@dataclass(frozen=True, slots=True)
class _CaptionFeatures:
    """One caption of T tokens."""

    features: Tensor
    """(T, width)."""
    attends: Tensor
    """(T, T) bool: which tokens see each other."""
    positions: Tensor
    """(T,) int64, from 0 in each phrase."""


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Captions of B images, padded to the longest of T tokens."""

    features: Tensor
    """(B, T, width)."""
    valid: Tensor
    """(B, T) bool: False at padding."""
    attends: Tensor
    """(B, T, T) bool."""
    positions: Tensor
    """(B, T) int64."""


def phrase_blocks(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the attention mask (T, T) bool and the positions (T,) for the ids (T,) of one caption.

    A phrase attends to itself and its closing separator, and positions restart in each phrase. The first and last
    token, and tokens after the last separator, attend only to themselves (the original implementations' rule).
    """
    count = len(ids)
    places = torch.arange(count, device=ids.device)
    closing = torch.isin(ids, torch.tensor(sorted(SEPARATORS.values()), device=ids.device))
    block = closing.long().cumsum(0) - closing.long()
    ends = torch.full((count + 1,), count, device=ids.device)
    ends[: int(closing.sum())] = places[closing]
    end = ends[block]
    whole = (end != 0) & (end < count - 1)
    attends = (end[:, None] == end) & whole | torch.eye(count, dtype=torch.bool, device=ids.device)
    starts = torch.cat([ends.new_zeros(1), ends[:-1] + 1])
    return attends, torch.where(whole, places - starts[block], 0)


class TextEncoder:
    """The text tower; encodes each phrase once, independently of caption and batch.

    As in the original implementations, phrases of a caption do not attend to each other and positions restart in each.
    So a phrase's features do not depend on other phrases.
    """

    def __init__(self, tower: Any, projection: Any, *, device: str) -> None:
        self._tower, self._projection, self._device = tower, projection, device
        self.encode = lru_cache(_CAPTIONS)(self._encode)
        self._read = lru_cache(_PHRASES)(self._read_anew)
        self.passes = 0

    @property
    def vocabulary(self) -> int:
        """Return the size of the embedding table."""
        return int(self._tower.get_input_embeddings().num_embeddings)

    def _encode(self, ids: tuple[int, ...]) -> _CaptionFeatures:
        """Return the features of one caption's token ids."""
        attends, positions = phrase_blocks(torch.tensor(ids))
        starts = torch.nonzero(positions == 0).flatten().tolist()
        phrases = [ids[start:end] for start, end in zip(starts, [*starts[1:], len(ids)], strict=True)]
        features = torch.cat([self._read(phrase) for phrase in phrases])
        return _CaptionFeatures(features, to_device(attends, self._device), to_device(positions, self._device))

    def _read_anew(self, ids: tuple[int, ...]) -> Tensor:
        """Return the features (T, width) of tokens with full attention."""
        row = to_device(torch.tensor([ids]), self._device)
        output = self._tower(
            input_ids=row,
            attention_mask=row.new_ones(1, 1, len(ids), len(ids), dtype=torch.bool),
            token_type_ids=torch.zeros_like(row),
            position_ids=torch.arange(len(ids), device=row.device)[None],
        )
        self.passes += 1
        features: Tensor = self._projection(output.last_hidden_state)[0]
        return features

    def batch(self, captions: Sequence[tuple[int, ...]]) -> TextBatch:
        """Return the features of one caption per image, padded at the end."""
        encoded = [self.encode(ids) for ids in captions]
        count, longest = len(encoded), max(len(ids) for ids in captions)
        first = encoded[0].features
        features = first.new_zeros(count, longest, first.shape[-1])
        valid = torch.zeros(count, longest, dtype=torch.bool, device=first.device)
        attends = torch.eye(longest, dtype=torch.bool, device=first.device).repeat(count, 1, 1)
        positions = torch.zeros(count, longest, dtype=torch.long, device=first.device)
        for row, caption in enumerate(encoded):
            length = len(caption.positions)
            features[row, :length] = caption.features
            valid[row, :length] = True
            attends[row, :length, :length] = caption.attends
            positions[row, :length] = caption.positions
        return TextBatch(features, valid, attends, positions)
