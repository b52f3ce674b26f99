"""Groups of near-duplicate images, each represented by one random image."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from autolabel.certify.order import key_of
from autolabel.errors import DataError, Problem
from autolabel.results.import_decisions import nearest_hint
from autolabel.storage import Location, read_regular

_COLUMNS = ("image", "group")
_MOST_PROBLEMS = 20
_MOST_COMPARED = 100_000
"""With more images than this, no nearest name is suggested for an unknown image."""
_MOST_BYTES = 1 << 30
"""The most bytes of a file of groups: a hundred bytes for each of ten million images."""
_FORM = 'a file of groups has the columns image and group, such as "0001.jpg,street 7"'


def read_groups_file(path: Path, *, images: Collection[str]) -> dict[str, str]:
    """Return the group of each image that a CSV file with the columns ``image`` and ``group`` names.

    Raises DataError, with the line, if the file is not such a CSV file, or if an image is not among ``images``, has no
    group, or is listed in two groups.
    """
    try:
        text = read_regular(path, most=_MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint=_FORM) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8", hint=_FORM) from error
    found: dict[str, str] = {}
    wrong: list[Problem] = []
    for line, image, group in _rows(text, str(path)):
        said = _fault(image, group, found, images)
        if said and len(wrong) < _MOST_PROBLEMS:
            hint = nearest_hint(image, images) if image not in images and len(images) <= _MOST_COMPARED else ""
            wrong.append(Problem(file=str(path), line=line, column=1, message=said, hint=hint))
        found.setdefault(image, group)
    if wrong:
        raise DataError(wrong)
    if not found:
        raise DataError(f"{path}: names no image", hint=_FORM)
    return found


def _rows(text: str, file: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise DataError(Problem(file=file, line=1, column=1, message=f"has no column {missing[0]!r}", hint=_FORM))
        for row in reader:
            yield reader.line_num, row["image"] or "", row["group"] or ""
    except csv.Error as error:
        problem = Problem(file=file, line=reader.line_num, column=1, message=f"is not CSV: {error}", hint=_FORM)
        raise DataError(problem) from error


def _fault(image: str, group: str, found: Mapping[str, str], images: Collection[str]) -> str:
    if image not in images:
        return f"{image!r} is not an image of this run"
    if not group:
        return f"{image!r} has no group; leave the line out if the image has no near-duplicate"
    if found.get(image, group) != group:
        return f"{image!r} is in the group {found[image]!r} already"
    return ""


def representatives(images: Iterable[str], groups: Mapping[str, str], *, plan: str) -> frozenset[str]:
    """Return one image of each group, and all images without a group.

    The image with the smallest SHA-256 of plan digest and name is taken, so the choice cannot be influenced and does
    not depend on decisions.
    """
    alone: set[str] = set()
    first: dict[str, tuple[int, str]] = {}
    for image in images:
        if image not in groups:
            alone.add(image)
            continue
        ticket = (key_of("group", plan, image), image)
        first[groups[image]] = min(ticket, first.get(groups[image], ticket))
    return frozenset(alone.union(image for _, image in first.values()))


def encode_groups(groups: Mapping[str, str]) -> bytes:
    """Encode groups for the file beside a sample."""
    return json.dumps(dict(sorted(groups.items())), indent=0, ensure_ascii=False).encode() + b"\n"


def read_kept_groups(path: Location, digest: str) -> dict[str, str]:
    """Read the groups beside a sample; raises DataError if they differ from those of the draw."""
    text = read_regular(path, most=_MOST_BYTES) if path.exists() else b""
    if hashlib.sha256(text).hexdigest() != digest:
        raise DataError(f"{path}: is not the file that the sample was drawn with", hint="restore it from a copy")
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise DataError(f"{path}: not a file of groups: {error}", hint="restore it from a copy") from error
