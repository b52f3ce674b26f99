"""Labels as lines of JSON: what shards and ``labels.jsonl`` hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from autolabel.types import Image, Instances, Labels, Prompt, Reason, Rle

BOX_DECIMALS = 3
SCORE_DECIMALS = 6


class Segmentation(msgspec.Struct, frozen=True):
    """A mask of the whole image as COCO's compressed RLE."""

    size: tuple[int, int]
    counts: str


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: ``bbox`` is x1 y1 x2 y2 in pixels of the upright image, ``label`` an index into ``phrases``.

    ``asked`` is the phrase that found it, where that is another than the class's name; ``sources`` the labelers that
    support it, where several were asked.
    """

    bbox: tuple[float, float, float, float]
    phrase: str
    label: int
    score: float
    round: int
    segmentation: Segmentation | None = None
    given: dict[str, Any] | None = None
    asked: str | None = None
    sources: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """Why an image failed."""

    code: str
    message: str


class Row(msgspec.Struct, frozen=True):
    """One line of ``labels.jsonl``: the outcome of an image, or of one caption of it."""

    image: str
    caption_index: int
    width: int
    height: int
    state: str
    reason: Failure | None
    phrases: tuple[str, ...]
    caption: str | None
    instances: tuple[Instance, ...]
    plan: str
    notes: tuple[str, ...] = ()


class Outline(msgspec.Struct, frozen=True):
    """The little of a row that counting and sorting need."""

    image: str
    caption_index: int
    state: str


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)
_outlines = msgspec.json.Decoder(Outline)


def encode(labels: Labels, plan: str) -> bytes:
    """Return labels as one line of JSON without its newline; boxes keep 3 decimals, scores 6."""
    height, width = labels.image.size
    return _encoder.encode(
        Row(
            image=labels.image.id,
            caption_index=labels.caption_index,
            width=width,
            height=height,
            state=labels.state,
            reason=Failure(labels.reason.code, labels.reason.message) if labels.reason else None,
            phrases=labels.prompt.phrases,
            caption=labels.prompt.caption,
            instances=tuple(instances(labels.instances, labels.prompt.phrases)),
            plan=plan,
            notes=labels.notes,
        )
    )


def instances(found: Instances, phrases: Sequence[str]) -> list[Instance]:
    """Write objects out one by one."""
    boxes = np.round(found.boxes.astype(np.float64), BOX_DECIMALS).tolist()
    scores = np.round(found.scores.astype(np.float64), SCORE_DECIMALS).tolist()
    masks = found.masks or (None,) * len(found)
    given = found.given or (None,) * len(found)
    asked = found.asked or (None,) * len(found)
    sources = found.sources or ((),) * len(found)
    return [
        Instance(
            bbox=tuple(box),
            phrase=phrases[label],
            label=label,
            score=score,
            round=found_in,
            segmentation=Segmentation(mask.size, mask.counts) if mask else None,
            given=dict(fields) if fields is not None else None,
            asked=phrase,
            sources=names,
        )
        for box, label, score, found_in, mask, fields, phrase, names in zip(
            boxes, found.labels.tolist(), scores, found.rounds.tolist(), masks, given, asked, sources, strict=True
        )
    ]


def outline(line: bytes) -> Outline:
    """Read who a line speaks of, and the state."""
    return _outlines.decode(line)


def decode(line: bytes, path: str = "") -> Labels:
    """Read labels back; ``path`` is where the image lies, which a line does not say."""
    row = _rows.decode(line)
    return Labels(
        image=Image(id=row.image, path=path, size=(row.height, row.width)),
        caption_index=row.caption_index,
        prompt=Prompt(row.phrases, row.caption),
        instances=objects(row.instances),
        reason=Reason(code=row.reason.code, message=row.reason.message) if row.reason else None,
        notes=row.notes,
    )


def objects(written: Sequence[Instance]) -> Instances:
    """Gather objects into columns."""
    masks = [Rle(item.segmentation.size, item.segmentation.counts) if item.segmentation else None for item in written]
    return Instances.build(
        [item.bbox for item in written],
        scores=[item.score for item in written],
        labels=[item.label for item in written],
        rounds=[item.round for item in written],
        masks=masks if any(masks) else None,
        given=[item.given or {} for item in written] if any(item.given is not None for item in written) else None,
        asked=[item.asked for item in written] if any(item.asked is not None for item in written) else None,
        sources=[item.sources for item in written] if any(item.sources for item in written) else None,
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a line of ``labels.jsonl``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Row)}
