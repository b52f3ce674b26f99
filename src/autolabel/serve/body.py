"""Parse request bodies: one image, a form, or JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from autolabel.serve.limits import RequestLimits
from autolabel.serve.refusal import Refusal

_LONGEST_NAME = 1000
_MOST_CLASSES = 10_000
DATA_URI = "data:"


@dataclass(frozen=True, slots=True)
class _LabelRequest:
    """Images to label, by name, and the requested classes."""

    images: Sequence[tuple[str, bytes]]
    classes: Sequence[str] | None
    several: bool
    """Whether the answer is a list."""


class _InMemory(MultiPartParser):
    """Keeps form parts in memory, because requests are bounded and nothing is written to disk."""

    spool_max_size = 1 << 62


def stated_length(request: Request, most: int) -> int:
    """Return the stated length of a request, or the limit if not stated; raises Refusal if it exceeds the limit."""
    said = request.headers.get("content-length", "")
    if not said:
        return most if "transfer-encoding" in request.headers else 0
    if not (said.isascii() and said.isdigit()):
        raise Refusal(400, "the length is not a number")
    if len(said) > 18 or int(said) > most:
        raise _too_large(most)
    return int(said)


def _too_large(most: int) -> Refusal:
    """Return the refusal of a body that is too large."""
    return Refusal(413, f"a request has {most:,} bytes at most")


async def _pieces(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """Yield a body in chunks; raises Refusal once it is too large."""
    read = 0
    async for piece in request.stream():
        read += len(piece)
        if read > most:
            raise _too_large(most)
        yield piece


async def whole(request: Request, most: int) -> bytes:
    """Return a body."""
    return b"".join([piece async for piece in _pieces(request, most)])


def json_of(data: bytes) -> dict[str, Any]:
    """Return the mapping that a body holds as JSON; raises Refusal if it is not one."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refusal(400, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(400, "wanted a JSON object")
    return value


async def read_form(request: Request, limits: RequestLimits) -> _LabelRequest:
    """Return the files of a form as images, and its fields ``classes``; raises Refusal if it is not one."""
    parser = _InMemory(
        request.headers,
        _pieces(request, limits.body),
        max_files=limits.images + 1,
        max_fields=_MOST_CLASSES,
        max_part_size=limits.body,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, UnicodeDecodeError, KeyError) as error:
        told = getattr(error, "message", "") or f"{type(error).__name__}: {error}"
        raise Refusal(413 if "Too many files" in told else 400, f"not a form that can be read: {told}") from None
    images: list[tuple[str, bytes]] = []
    classes: list[str] = []
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            images.append((named(value.filename), await value.read()))
            await value.close()
        elif key == "classes":
            classes.append(value)
        elif key == "token":
            continue
        else:
            raise Refusal(400, f"the field {key[:80]!r} is neither a file nor 'classes'")
    return checked(images, classes or None, several=True, limits=limits)


def of_json(asked: dict[str, Any], limits: RequestLimits) -> _LabelRequest:
    """Return the images of ``{"images": [base64 or data URI, ...], "classes": [...]}``."""
    images, classes = asked.get("images"), asked.get("classes")
    if unknown := set(asked) - {"images", "classes", "names"}:
        raise Refusal(400, f"unknown keys: {', '.join(sorted(map(repr, unknown)))[:200]}")
    names = asked.get("names")
    if not isinstance(images, list) or not all(isinstance(one, str) for one in images):
        raise Refusal(400, "images: wanted a list of texts in base64, or data URIs")
    if names is not None and not (isinstance(names, list) and len(names) == len(images)):
        raise Refusal(400, "names: wanted one for each image")
    if classes is not None and not (isinstance(classes, list) and all(isinstance(one, str) for one in classes)):
        raise Refusal(422, "classes: wanted a list of names")
    called = names if names is not None else [""] * len(images)
    pairs = [
        (named(name) if isinstance(name, str) and name else f"image-{number}", unpacked(one))
        for number, (name, one) in enumerate(zip(called, images, strict=True), 1)
    ]
    return checked(pairs, classes, several=True, limits=limits)


def checked(
    images: Sequence[tuple[str, bytes]], classes: Sequence[str] | None, *, several: bool, limits: RequestLimits
) -> _LabelRequest:
    """Validate a request; raises Refusal for no images, or too many images or classes."""
    if not images:
        raise Refusal(400, "no image was sent")
    if len(images) > limits.images:
        raise Refusal(413, f"{len(images)} images, at most {limits.images} are taken at once")
    if classes is not None and len(classes) > _MOST_CLASSES:
        raise Refusal(413, f"{len(classes):,} classes, at most {_MOST_CLASSES:,} are asked at once")
    return _LabelRequest(images, classes, several)


def unpacked(text: str) -> bytes:
    """Return the bytes of a text in base64, or of a data URI in base64; raises Refusal if it is not one."""
    if text.startswith(DATA_URI):
        kind, _, text = text.partition(",")
        if not kind.endswith(";base64"):
            raise Refusal(400, "a data URI must be in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, "an image is not in base64") from None


def named(name: str | None) -> str:
    """Return a client's name as one line of bounded length."""
    kept = "".join(one for one in name or "" if one.isprintable())[:_LONGEST_NAME].strip()
    return kept or "image"
