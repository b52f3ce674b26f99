"""The file of captions that a labeler has written for a run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from autolabel.data.inputs import Input
from autolabel.data.splitter import split_caption
from autolabel.errors import BusyError
from autolabel.storage import Location

_log = logging.getLogger(__name__)

DESCRIBED = "captions.jsonl"
"""File, in the results directory, of the captions that a run has had written; TAO reads it as ``noun_chunk_path``."""


class ImageDescription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: the caption of an image with its phrases, or the reason why there is none."""

    file_name: str
    caption: str = ""
    noun_chunks: tuple[str, ...] = ()
    labeler: str
    model: str = ""
    code: str = ""
    message: str = ""
    settings: str
    """Digest of the labeler and its settings."""
    mark: str = ""
    """Tells the content of the image's file from another's."""

    @classmethod
    def of(cls, row: Input, caption: str, by: Describer) -> ImageDescription:
        """Return the description of an image with a caption."""
        return cls(
            file_name=row.image,
            caption=caption,
            noun_chunks=split_caption(caption),
            labeler=by.labeler,
            model=by.model,
            settings=by.settings,
            mark=row.mark,
        )

    @classmethod
    def failed(cls, row: Input, code: str, message: str, by: Describer) -> ImageDescription:
        """Return the description of an image that failed."""
        return cls(
            file_name=row.image,
            labeler=by.labeler,
            model=by.model,
            code=code,
            message=message,
            settings=by.settings,
            mark=row.mark,
        )

    def fill(self, row: Input) -> Input:
        """Return an image's row with its caption, or as failed; the notes name the captioner."""
        model = f" ({self.model})" if self.model else ""
        if self.code:
            said = f"no caption from {self.labeler}{model}: {self.message}"
            return msgspec.structs.replace(row, wanting=False, path="", code=self.code, message=said)
        notes = [*row.notes, f"its caption was written by {self.labeler}{model}"]
        if not self.noun_chunks:
            notes.append("nothing is asked of it: its caption has no phrase")
        return msgspec.structs.replace(
            row, wanting=False, caption=self.caption, phrases=self.noun_chunks, notes=tuple(notes)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Describer:
    """The captioner: labeler and model."""

    labeler: str
    model: str
    settings: str
    """Digest of the labeler and its settings: another one's descriptions are not used."""


@dataclass(frozen=True, slots=True)
class Descriptions:
    """Written captions, by image id."""

    by: Describer
    known: Mapping[str, ImageDescription] = field(default_factory=dict)

    def fill(self, row: Input) -> Input:
        """Return a row with its caption if one was written for the same file content."""
        known = self.known.get(row.image) if row.wanting and not row.code else None
        return row if known is None or known.mark != row.mark else known.fill(row)


_lines = msgspec.json.Decoder(ImageDescription)


def read_descriptions(place: Location, by: Describer) -> Descriptions:
    """Read the captions written with the same settings; damaged and other lines are ignored."""
    if not place.is_file():
        return Descriptions(by)
    known: dict[str, ImageDescription] = {}
    with place.open("rb") as stream:
        for line in stream:
            try:
                one = _lines.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("%s: a line cannot be used (%s); its caption is requested again", place, error)
                continue
            if one.settings == by.settings:
                known[one.file_name] = one
    return Descriptions(by, known)


def check_ours(place: Location) -> None:
    """Raise BusyError if the file to replace does not hold descriptions."""
    if not place.exists():
        return
    with place.open("rb") as stream:
        first = stream.readline(1 << 20)
    try:
        _lines.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError):
        if first.strip():
            raise BusyError(
                f"{place}: no run of autolabel has written it, and captions would go there",
                hint="choose another results_dir, or move it elsewhere",
            ) from None


def encoded(descriptions: Iterable[ImageDescription]) -> list[bytes]:
    """Encode descriptions as lines, sorted by image."""
    return [msgspec.json.encode(one) + b"\n" for one in sorted(descriptions, key=lambda one: one.file_name)]
