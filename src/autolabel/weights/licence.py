"""Read the licence of a checkpoint from the files beside it."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from autolabel.errors import WeightsError
from autolabel.weights.content import CARDS, weight_files

_COMMERCIAL = {
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "isc",
    "unlicense",
    "cc0-1.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
}
_NON_COMMERCIAL = re.compile(r"(^|-)(nc|noncommercial|non-commercial)(-|$)|non-?commercial", re.IGNORECASE)
_MOST_TEXT = 64_000
"""Characters of a card or a licence that are read: front matter stands first."""
# Text in the first lines of a licence, with its SPDX name; the first match counts.
_TITLES = (
    (re.compile(r"non-?commercial", re.IGNORECASE), "other-noncommercial"),
    (re.compile(r"Apache License\s{1,200}Version 2\.0", re.IGNORECASE), "apache-2.0"),
    (re.compile(r"MIT License|Permission is hereby granted, free of charge", re.IGNORECASE), "mit"),
    (re.compile(r"Redistribution and use in source and binary forms", re.IGNORECASE), "bsd-3-clause"),
)
_LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence by its SPDX name, lower case."""

    name: str
    """``"unknown"`` where nothing says."""
    commercial: bool | None
    """Whether commercial use is allowed; None if that is not known."""


UNKNOWN = Licence("unknown", None)


def licence_of(path: Path) -> Licence:
    """Return a checkpoint's licence: from the model card's front matter, a LICENSE file, or safetensors metadata.

    For a single file, the files beside it are read. Returns UNKNOWN if nothing states a licence; a labeler can override
    its method ``licence()``.
    """
    folder = path if path.is_dir() else path.parent
    readers = (_of_card(folder / "README.md"), _of_text(folder), _of_metadata(_tensors(path)))
    return next((_judge(name) for name in readers if name), UNKNOWN)


def _judge(name: str) -> Licence:
    name = name.lower()
    if _NON_COMMERCIAL.search(name):
        return Licence(name, False)
    return Licence(name, True if name in _COMMERCIAL else None)


def _of_card(card: Path) -> str:
    front = _front_matter(_start_of(card))
    stated = front.get("license", "") or front.get("licence", "")
    return front.get("license_name", "") or stated if stated.lower() == "other" else stated


def _front_matter(text: str) -> dict[str, str]:
    """Return the values of a card's front matter by key, read line by line; for lists, the first item."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].rstrip() != "---":
        return {}
    found: dict[str, str] = {}
    key = ""
    for line in lines[1:]:
        if line.rstrip() == "---":
            return found
        if line.startswith(("- ", "  - ")) and key:
            found[key] = found[key] or _word(line.strip()[2:])
        elif not line.startswith((" ", "#")) and ":" in line:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            found[key] = _word(value.strip().removeprefix("["))
    return {}


def _word(text: str) -> str:
    """Return the first word of a value, without its quotes."""
    words = text.replace(",", " ").replace("]", " ").split()
    return words[0].strip("\"'") if words and not words[0].startswith("#") else ""


def _of_text(folder: Path) -> str:
    named = sorted(path for path in folder.iterdir() if CARDS.fullmatch(path.name)) if folder.is_dir() else []
    for file in named:
        if file.suffix.lower() != ".md" or not file.name.lower().startswith(("readme", "notice")):
            text = _start_of(file)[:4000]
            if found := next((spdx for title, spdx in _TITLES if title.search(text)), ""):
                return found
    return ""


def _start_of(file: Path) -> str:
    """Return the first part of a text file; empty if it does not exist."""
    try:
        with file.open("rb") as stream:
            return stream.read(_MOST_TEXT).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _tensors(path: Path) -> Path:
    """Return the file whose metadata may state a licence: for a folder, its first weight file."""
    try:
        return weight_files(path)[0] if path.is_dir() else path
    except WeightsError:
        return path


def _of_metadata(path: Path) -> str:
    if path.suffix != ".safetensors" or not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = file.read(length) if length <= _LARGEST_HEADER else b""
    try:
        metadata = json.loads(header)["__metadata__"]
        return str(metadata.get("license") or metadata.get("licence") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
