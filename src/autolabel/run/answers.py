"""One answer of a detector as compressed bytes, every number exactly as it was."""

from __future__ import annotations

import zlib

import msgspec
import numpy as np

from autolabel.types import Instances, Rle

LEVEL = 6


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The columns of N candidates, little-endian: boxes (N, 4) float32, scores float32, labels int32; masks as RLE."""

    boxes: bytes
    scores: bytes
    labels: bytes
    masks: tuple[tuple[tuple[int, int], str] | None, ...] | None = None
    sources: tuple[tuple[str, ...], ...] | None = None


_decoder = msgspec.msgpack.Decoder(Answer)


def pack(found: Instances) -> bytes:
    """Return candidates as bytes; their rounds and what was given with them are not kept."""
    masks = found.masks
    answer = Answer(
        found.boxes.astype("<f4").tobytes(),
        found.scores.astype("<f4").tobytes(),
        found.labels.astype("<i4").tobytes(),
        None if masks is None else tuple(None if mask is None else (mask.size, mask.counts) for mask in masks),
        found.sources,
    )
    return zlib.compress(msgspec.msgpack.encode(answer), LEVEL)


def unpack(packed: bytes) -> Instances:
    """Read candidates back; raises ValueError where the bytes are no answer."""
    try:
        answer = _decoder.decode(zlib.decompress(packed))
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"not an answer: {error}") from error
    masks = answer.masks
    return Instances.build(
        np.frombuffer(answer.boxes, "<f4").reshape(-1, 4),
        scores=np.frombuffer(answer.scores, "<f4"),
        labels=np.frombuffer(answer.labels, "<i4"),
        masks=None if masks is None else [None if mask is None else Rle(*mask) for mask in masks],
        sources=answer.sources,
    )
