"""The licence of a checkpoint, as the files beside it state it."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

COMMERCIAL = {
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
NON_COMMERCIAL = re.compile(r"(^|-)(nc|noncommercial|non-commercial)(-|$)|non-?commercial", re.IGNORECASE)
FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
LICENCE_LINE = re.compile(r"^license:\s*[\"']?([^\s\"'#]+)", re.MULTILINE | re.IGNORECASE)
NAME_LINE = re.compile(r"^license_name:\s*[\"']?([^\s\"'#]+)", re.MULTILINE | re.IGNORECASE)
"""What a card calls a licence of its own, beside ``license: other``."""
# What the first lines of a licence text say, with its SPDX name; the first match counts.
TITLES = (
    (re.compile(r"non-?commercial", re.IGNORECASE), "other-noncommercial"),
    (re.compile(r"Apache License\s+Version 2\.0", re.IGNORECASE), "apache-2.0"),
    (re.compile(r"MIT License|Permission is hereby granted, free of charge", re.IGNORECASE), "mit"),
    (re.compile(r"Redistribution and use in source and binary forms", re.IGNORECASE), "bsd-3-clause"),
)
LARGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence by its SPDX name, lower case."""

    name: str
    """``"unknown"`` where nothing says."""
    commercial: bool | None
    """Whether commercial use is allowed; None where that is not known."""


UNKNOWN = Licence("unknown", None)


def licence_of(path: Path) -> Licence:
    """Return a checkpoint's licence: from the model card's front matter, a LICENSE file, or safetensors metadata.

    Those beside a file count for it. Returns UNKNOWN where nothing says; a labeler that knows better has a method
    ``licence()`` of its own.
    """
    folder = path if path.is_dir() else path.parent
    readers = (_of_card(folder / "README.md"), _of_text(folder), _of_metadata(path))
    return next((_judge(name) for name in readers if name), UNKNOWN)


def _judge(name: str) -> Licence:
    name = name.lower()
    if NON_COMMERCIAL.search(name):
        return Licence(name, False)
    return Licence(name, True if name in COMMERCIAL else None)


def _of_card(card: Path) -> str:
    if not card.is_file():
        return ""
    front = FRONT_MATTER.match(card.read_text("utf-8", errors="replace"))
    line = LICENCE_LINE.search(front[1]) if front else None
    own = NAME_LINE.search(front[1]) if front and line and line[1].lower() == "other" else None
    return (own or line)[1] if line else ""


def _of_text(folder: Path) -> str:
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        if (folder / name).is_file():
            text = (folder / name).read_text("utf-8", errors="replace")[:4000]
            return next((spdx for title, spdx in TITLES if title.search(text)), "")
    return ""


def _of_metadata(path: Path) -> str:
    if path.suffix != ".safetensors" or not path.is_file():
        return ""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        header = file.read(length) if length <= LARGEST_HEADER else b""
    try:
        metadata = json.loads(header)["__metadata__"]
        return str(metadata.get("license") or metadata.get("licence") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
