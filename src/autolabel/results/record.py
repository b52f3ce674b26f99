"""Encode and decode rows of labels as JSON lines, in shards and ``labels.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from autolabel.schema_faults import struct_schema, why_refused
from autolabel.types import GIVEN, Image, Instances, Labels, Prompt, Reason, Rle, Size
from autolabel.types.instances import UNSEEN, Support
from autolabel.types.labels import State
from autolabel.types.runs import rle_fault, totals

BOX_DECIMALS = 3
SCORE_DECIMALS = 6
_T = TypeVar("_T")


_FARTHEST = 1e9
"""Pixels from the origin within which a box lies."""
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Side = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Coordinate = Annotated[float, msgspec.Meta(ge=-_FARTHEST, le=_FARTHEST)]
_Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
_FoundIn = Annotated[int, msgspec.Meta(ge=-1, le=32767)]


class RowError(Exception):
    """A line is not a valid row of labels; the message says why."""


class Segmentation(msgspec.Struct, frozen=True):
    """A mask of the whole image as COCO's compressed RLE."""

    size: tuple[_Side, _Side]
    counts: str


class Seen(msgspec.Struct, frozen=True):
    """Counts of (labeler, look) pairs that saw an object, of labelers that did, and of pairs used."""

    looks: _Count
    labelers: _Count
    asked: _Count


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: ``bbox`` is x1 y1 x2 y2 in pixels of the upright image, ``label`` an index into ``phrases``.

    ``asked`` is the phrase that found it, where that is another than the class's name; ``sources`` the labelers that
    support it, where several were asked; ``support`` says how many looks of how many labelers saw it, of how many that
    were asked, where an image is seen in several; ``verdict`` is the chance that the box is what its phrase says, by a
    verifier that was asked about it; ``expression`` is a referring expression: words that fit this box alone.
    """

    bbox: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]
    phrase: str
    label: _Count
    score: _Score
    round: _FoundIn
    segmentation: Segmentation | None = None
    given: dict[str, Any] | None = None
    asked: str | None = None
    sources: tuple[str, ...] = ()
    support: Seen | None = None
    verdict: _Score | None = None
    expression: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """Why an image failed."""

    code: str
    message: str


class RowKey(msgspec.Struct, frozen=True):
    """What rows are sorted and found by."""

    image: str
    caption_index: _Count


class _RowHead(RowKey, frozen=True):
    """The first fields of a row: enough to count and sort, and decoded without its objects."""

    width: _Side
    height: _Side
    state: State


class Row(_RowHead, frozen=True):
    """One line of ``labels.jsonl``: the outcome of an image, or of one caption of it."""

    reason: Failure | None
    phrases: tuple[str, ...]
    caption: str | None
    instances: tuple[Instance, ...]
    plan: str
    notes: tuple[str, ...] = ()
    given: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """Other fields of the image in the COCO file of given boxes, besides its name and size."""


_encoder = msgspec.json.Encoder()
_rows = msgspec.json.Decoder(Row)
_heads = msgspec.json.Decoder(_RowHead)


def encode_labels(labels: Labels, plan: str) -> bytes:
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
            instances=tuple(_instances(labels.instances, labels.prompt.phrases)),
            plan=plan,
            notes=labels.notes,
            given=msgspec.UNSET if labels.image.given is None else dict(labels.image.given),
        )
    )


def _instances(found: Instances, phrases: Sequence[str]) -> list[Instance]:
    """Encode objects one by one."""
    boxes = _rounded(found.boxes).tolist()
    scores = np.round(found.scores.astype(np.float64), SCORE_DECIMALS).tolist()
    masks = found.masks or (None,) * len(found)
    given = found.given or (None,) * len(found)
    asked = found.asked or (None,) * len(found)
    sources = found.sources or ((),) * len(found)
    support = found.support or (None,) * len(found)
    verdicts = found.verdicts or (None,) * len(found)
    expressions = found.expressions or (None,) * len(found)
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
            support=Seen(seen.looks, seen.labelers, seen.asked) if seen is not None else None,
            verdict=None if verdict is None else round(float(verdict), SCORE_DECIMALS),
            expression=expression,
        )
        for box, label, score, found_in, mask, fields, phrase, names, seen, verdict, expression in zip(
            boxes,
            found.labels.tolist(),
            scores,
            found.rounds.tolist(),
            masks,
            given,
            asked,
            sources,
            support,
            verdicts,
            expressions,
            strict=True,
        )
    ]


def _rounded(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Round (N, 4) boxes to 3 decimals; boxes with area keep a positive area."""
    out = np.asarray(np.round(boxes.astype(np.float64), BOX_DECIMALS), np.float64)
    lost = (out[:, 2:] <= out[:, :2]) & (boxes[:, 2:] > boxes[:, :2])
    if lost.any():
        step = 10.0**-BOX_DECIMALS
        out[:, 2:][lost] = np.round(out[:, :2][lost] + step, BOX_DECIMALS)
    return out


def decode_head(line: bytes) -> _RowHead:
    """Decode the first fields of a line; raises RowError if they are invalid."""
    return _read(_heads, line)


def decode_labels(line: bytes, path: str = "") -> Labels:
    """Decode labels; ``path`` is the image's path, which the line does not contain.

    Raises RowError for an invalid line: see ``_faults``.
    """
    row = _read(_rows, line, whole=True)
    if fault := next(_faults(row), ""):
        raise RowError(fault)
    return Labels(
        image=Image(
            id=row.image,
            path=path,
            size=(row.height, row.width),
            given=None if row.given is msgspec.UNSET else row.given,
        ),
        caption_index=row.caption_index,
        prompt=Prompt(row.phrases, row.caption),
        instances=_objects(row.instances),
        reason=Reason(code=row.reason.code, message=row.reason.message) if row.reason else None,
        notes=row.notes,
    )


def _read(decoder: msgspec.json.Decoder[_T], line: bytes, *, whole: bool = False) -> _T:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError as error:
        refused = why_refused(line, labels_schema(), most=1) if whole else []
        told = [f"{one.path}: {one.message}" if one.path else one.message for one in refused] or [str(error)]
        raise RowError(f"no row of labels: {told[0]}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RowError(f"no row of labels: {error}") from None


def _faults(row: Row) -> Iterator[str]:
    """Yield the faults of a row whose fields have the right types.

    Duplicate phrases, a state that contradicts its objects, a label that does not match its phrase, a box without area
    (allowed for given boxes), a mask that does not fit the image.
    """
    if len(set(row.phrases)) != len(row.phrases):
        yield "a phrase appears twice"
    state = "failed" if row.reason else "labelled" if row.instances else "empty"
    if row.state != state or (row.reason and row.instances):
        yield f"says {row.state!r}, and its reason and objects say {state!r}"
    masks = []
    for number, item in enumerate(row.instances):
        if item.label >= len(row.phrases) or row.phrases[item.label] != item.phrase:
            yield f"/instances/{number}: label {item.label} is not the place of {item.phrase!r} in its phrases"
        x1, y1, x2, y2 = item.bbox
        if not (x1 < x2 and y1 < y2) and not (item.round == GIVEN and x1 <= x2 and y1 <= y2):
            yield f"/instances/{number}/bbox: wanted x1 < x2 and y1 < y2, found {list(item.bbox)}"
        if item.segmentation is not None:
            masks.append((number, item.segmentation))
    yield from _mask_faults(masks, (row.height, row.width))


def _mask_faults(masks: Sequence[tuple[int, Segmentation]], size: Size) -> Iterator[str]:
    """Yield the faults of masks for an image size, without decoding them."""
    if not masks:
        return
    sums = totals([mask.counts for _, mask in masks]).tolist()
    for (number, mask), total in zip(masks, sums, strict=True):
        if mask.size != size:
            yield f"/instances/{number}/segmentation: a mask of {list(mask.size)} in an image of {list(size)}"
        elif total != size[0] * size[1]:
            yield f"/instances/{number}/segmentation: {rle_fault(mask.counts, size)}"


def with_image_name(line: bytes, image: str) -> bytes:
    """Return a line with its image renamed."""
    row = _rows.decode(line)
    return line if row.image == image else _encoder.encode(msgspec.structs.replace(row, image=image))


def _objects(written: Sequence[Instance]) -> Instances:
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
        support=[_supported(item.support) for item in written] if any(item.support for item in written) else None,
        verdicts=[item.verdict for item in written] if any(item.verdict is not None for item in written) else None,
        expressions=[item.expression for item in written]
        if any(item.expression is not None for item in written)
        else None,
    )


def _supported(seen: Seen | None) -> Support:
    """Convert support to its type."""
    return Support(looks=seen.looks, labelers=seen.labelers, asked=seen.asked) if seen is not None else UNSEEN


def labels_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line of ``labels.jsonl``."""
    return struct_schema(Row)
