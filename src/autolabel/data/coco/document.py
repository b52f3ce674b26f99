"""Split the text of a COCO file into images, categories and annotations without parsing them."""

from __future__ import annotations

import codecs
import mmap
from pathlib import Path
from typing import Any

import msgspec

from autolabel.data.coco.faults import Faults, quote_not_finite, translate, whole_characters
from autolabel.data.coco.repair import plain_json
from autolabel.errors import DataError, Problem
from autolabel.storage import Location, Remote

_BLOCK = 1 << 20
_BOM = codecs.BOM_UTF8
_FOREIGN = ("invalid character", "truncated", "hex escape", "surrogate", "escape")
"""msgspec's errors for text that Python's json writes but JSON does not allow."""
_SECTIONS = ("images", "annotations", "categories")
_EXPECTED = "expected a COCO file: an object with images, annotations, categories"


_MOST_REST = 8 << 20
"""Bytes of what a file may say besides its lists; beyond, only its categories are kept."""


class CocoDocument(msgspec.Struct, gc=False):
    """The three lists of a COCO file, each entry as text."""

    images: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    annotations: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    categories: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    videos: msgspec.Raw = msgspec.Raw()
    halves: bool = msgspec.field(default=False, name="autolabel:halves")
    """Whether the text had halves of surrogate pairs, which are replaced."""
    text: Any = msgspec.field(default=b"", name="autolabel:text")
    """The whole text, in which NaN and infinities are marked where there are any."""


def map_coco(path: Location) -> CocoDocument:
    """Map a file into memory and split it; raises DataError if it is not a COCO file."""
    return cut_coco(_map(path), str(path))


def cut_coco(data: memoryview, file: str) -> CocoDocument:
    """Cut the text of a COCO file up; raises DataError, which names ``file``, if it is none at all."""
    _check_text(data, file)
    try:
        document = msgspec.json.decode(data, type=CocoDocument)
        document.text = data
    except (msgspec.DecodeError, RecursionError) as error:
        document = _second_try(data, error, file)
    return _check_sections(document, file)


def _map(path: Location) -> memoryview:
    try:
        view = memoryview(path.read_bytes()) if isinstance(path, Remote) else _map_here(path)
    except OSError as error:
        raise DataError(Problem(file=str(path), message=f"cannot be read: {error.strerror or error}")) from error
    if not len(view):
        raise DataError(Problem(file=str(path), message="is empty", hint=_EXPECTED))
    return view[len(_BOM) :] if view[: len(_BOM)] == _BOM else view


def _map_here(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not file.read(1):  # an empty file cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _check_text(data: memoryview, file: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BLOCK):
        block = bytes(data[start : start + _BLOCK])
        waiting = len(decoder.getstate()[0])
        if block.isascii() and not waiting:
            continue  # several times faster than decoding, and sufficient for most files
        try:
            decoder.decode(block, final=start + _BLOCK >= len(data))
        except UnicodeDecodeError as error:
            line, column = _place(data, start - waiting + error.start)
            problem = Problem(file=file, line=line, column=column, message=f"is not UTF-8 text: {error.reason}")
            raise DataError(problem) from error


def _second_try(data: memoryview, error: Exception, file: str) -> CocoDocument:
    """Read again with invalid JSON replaced: NaN and infinities are marked, lone surrogates replaced."""
    if isinstance(error, msgspec.DecodeError) and any(word in str(error) for word in _FOREIGN):
        try:
            quoted = quote_not_finite(data)
            mended = whole_characters(quoted)
            document = msgspec.json.decode(mended, type=CocoDocument)
            document.text, document.halves = memoryview(mended), mended != quoted
            return document
        except msgspec.DecodeError:
            pass  # not the only fault: the first one is reported
    raise DataError(_problem(data, error, file)) from error


def _problem(data: memoryview, error: Exception, file: str) -> Problem:
    text = str(error)
    if isinstance(error, RecursionError):
        return Problem(file=file, message="is nested too deeply to be a COCO file")
    if isinstance(error, msgspec.ValidationError):
        pointer, message = translate(error, data if len(data) < _BLOCK else b"")
        if not pointer:
            return Problem(file=file, message=message, hint=_EXPECTED)
        return Problem(file=file, path=pointer, message=message.partition(", got")[0])
    if "truncated" in text:
        return Problem(file=file, message="ends too early: it was cut off", hint="write or download it again")
    reason, _, rest = text.removeprefix("JSON is malformed: ").partition(" (byte ")
    line, column = _place(data, int(rest.rstrip(")") or 0))
    return Problem(file=file, line=line, column=column, message=f"is not JSON: {reason}")


def _place(data: memoryview, offset: int) -> tuple[int, int]:
    before = bytes(data[:offset])
    return before.count(b"\n") + 1, offset - before.rfind(b"\n")


def _check_sections(document: CocoDocument, file: str) -> CocoDocument:
    if len(bytes(document.videos)):
        raise DataError(
            Problem(
                file=file, path="/videos", message="files with videos (YouTube-VIS) are not supported", hint=_EXPECTED
            )
        )
    faults = Faults(file)
    for name in _SECTIONS:
        if getattr(document, name) is msgspec.UNSET:
            faults.add("", f"{name!r} is missing", hint=_EXPECTED)
    faults.stop()
    return document


def rest(data: memoryview) -> dict[str, Any]:
    """Return a COCO file's content besides images and annotations; NaN and infinities become null."""
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    kept = {name: raw for name, raw in fields.items() if name not in ("images", "annotations")}
    if sum(len(bytes(raw)) for raw in kept.values()) > _MOST_REST:
        kept = {"categories": kept["categories"]}
    return {name: plain_json(raw)[0] for name, raw in kept.items()}


def section_entries(section: Any) -> list[msgspec.Raw]:
    """Return a section, which ``map_coco`` has checked, as a list."""
    assert isinstance(section, list)
    return section
