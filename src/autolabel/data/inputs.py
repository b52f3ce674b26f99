"""The input rows of a run: one per image, or per caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from autolabel.types import Image, Instances, Labels, Prompt, Reason


class GivenBox(msgspec.Struct, frozen=True, omit_defaults=True):
    """A given box: ``bbox`` is x1 y1 x2 y2 in pixels, ``fields`` what the annotation said besides."""

    bbox: tuple[float, float, float, float]
    label: int
    fields: dict[str, Any]


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row before it is labelled, from its listing to ``inputs.jsonl``; ``phrases`` is None for the run's classes."""

    image: str
    path: str = ""
    """Where the image lies: derived from its id and the manifest's folders, and never stored."""
    bytes: int = 0
    height: int = 0
    width: int = 0
    caption_index: int = 0
    phrases: tuple[str, ...] | None = None
    caption: str | None = None
    boxes: tuple[GivenBox, ...] = ()
    code: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    given: dict[str, Any] | None = None
    """Other fields of the image in the file of boxes; None if the file does not list it."""
    stated: tuple[int, int] = (0, 0)
    """(height, width) that the file of boxes states, until they are compared with the image's; 0 if it does not."""
    wanting: bool = False
    """Whether the image still needs a caption before its phrases are known."""
    mark: str = ""
    """Tells the content of the file from another's; no part of what the row is."""

    def as_image(self) -> Image:
        """Return the image with its path and size."""
        return Image(id=self.image, path=self.path, size=(self.height, self.width), given=self.given)

    def prompt(self, classes: Sequence[str]) -> Prompt:
        """Return the prompt, with ``classes`` if the row has no phrases."""
        return Prompt(tuple(classes) if self.phrases is None else self.phrases, self.caption)

    def instances(self) -> Instances:
        """Return the given boxes, with round -1 and score 1."""
        if not self.boxes:
            return Instances.empty()
        return Instances.build(
            [box.bbox for box in self.boxes],
            scores=[1.0 if (score := box.fields.get("score")) is None else score for box in self.boxes],
            labels=[box.label for box in self.boxes],
            rounds=-1,
            given=[box.fields for box in self.boxes],
        )

    def labels(self, classes: Sequence[str]) -> Labels:
        """Return the row before any stage: with given boxes, or already failed."""
        return Labels(
            image=self.as_image(),
            caption_index=self.caption_index,
            prompt=self.prompt(classes),
            instances=self.instances(),
            reason=Reason(code=self.code, message=self.message) if self.code else None,
            notes=self.notes,
        )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Input)


def encode_input(row: Input) -> bytes:
    """Return a row as one line of JSON, without its newline and without its path."""
    return _encoder.encode(replace(row, path=""))


def decode_input(line: bytes) -> Input:
    """Decode a row from its line, without its path: ``Manifest.placed`` adds it."""
    return _decoder.decode(line)
