"""File names for formats that write one file per image."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

_LONGEST: Final = 255
"""Bytes that file systems allow a name."""
_SEPARATOR: Final = "__"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
"""Characters that break lists of names, or separate folders on another system."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """Turns image ids into file names that mirror the folders of the images.

    A file has the image's name with another ending, because trainers pair the two by name. A hash of the id is added if
    images differ only in ending (``a.jpg``, ``a.png``) or letter case, or if a name is not a valid file name, so that
    no two images share a file.
    """

    doubled: frozenset[int]
    """Digests of the stems that several images share."""
    flat: bool = False
    """Folders become a part of the file's name: ``a/b.jpg`` is ``a__b``."""

    @classmethod
    def survey(cls, image_ids: Iterable[str], *, flat: bool = False) -> FileNames:
        """Find the stems that several images share, using 8 bytes of memory per image."""
        digests = array("Q", (_stem_digest(_flattened(one) if flat else one) for one in image_ids))
        values, counts = np.unique(np.asarray(digests, np.uint64), return_counts=True)
        return cls(frozenset(values[counts > 1].tolist()), flat)

    def name(self, image_id: str, ending: str) -> str:
        """Return a relative path that ends with ``ending``, such as ``.txt``; never absolute, never with ``..``."""
        *folders, file = safe_parts(image_id) or ["_"]
        clean = [f"{folder}_" if folder.casefold().endswith(ending) else folder for folder in folders]
        own = "/".join((*folders, file))
        if self.flat:
            clean, file = [], _flattened(own)
        stem, former = split_ending(file)
        room = _LONGEST - max(len(ending.encode()), len(former.encode()))
        digest = _stem_digest(_flattened(image_id) if self.flat else image_id)
        if own != image_id or digest in self.doubled or len(stem.encode()) > room:
            mark = f"-{blake2b(image_id.encode('utf-8', 'surrogatepass'), digest_size=6).hexdigest()}"
            stem = stem.encode()[: room - len(mark)].decode("utf-8", "ignore") + mark
        return "/".join((*clean, stem + ending))


def _flattened(image_id: str) -> str:
    """Return a name with its folders joined into the file name."""
    return image_id.replace("/", _SEPARATOR)


def _stem_digest(image_id: str) -> int:
    """Return a 64-bit hash that is equal if two ids map to the same file on a case-insensitive file system."""
    stem = unicodedata.normalize("NFC", split_ending(image_id)[0]).casefold()
    return int.from_bytes(blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def split_ending(name: str) -> tuple[str, str]:
    """Split ``a/b.jpg`` into ``a/b`` and ``.jpg``; a leading dot does not start an ending."""
    stem, dot, ending = name.rpartition(".")
    if not dot or "/" in ending or not stem or stem.endswith("/"):
        return name, ""
    return stem, dot + ending


def safe_parts(image_id: str) -> list[str]:
    """Return the parts of an id that are safe as folder and file names."""
    return [_UNSAFE.sub("_", part) for part in image_id.split("/") if part not in ("", ".", "..")]
