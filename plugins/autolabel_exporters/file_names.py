"""Names of the files that formats with one file an image write."""

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

    A name is that of the image with another ending, as trainers pair the two. Where images differ in their ending
    only (``a.jpg``, ``a.png``) or in case, or where a name cannot be written as it is, a hash of the id is added, so
    that no two images share a file.
    """

    doubled: frozenset[int]
    """Digests of the stems that several images share."""
    flat: bool = False
    """Folders become a part of the file's name: ``a/b.jpg`` is ``a__b``."""

    @classmethod
    def survey(cls, image_ids: Iterable[str], *, flat: bool = False) -> FileNames:
        """Find the stems that several images share; takes 8 bytes an image."""
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
    """Return a name whose folders are a part of the file's name."""
    return image_id.replace("/", _SEPARATOR)


def _stem_digest(image_id: str) -> int:
    """Return 64 bits that are equal where two ids would lead to one file on a system that ignores case."""
    stem = unicodedata.normalize("NFC", split_ending(image_id)[0]).casefold()
    return int.from_bytes(blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def split_ending(name: str) -> tuple[str, str]:
    """Split ``a/b.jpg`` into ``a/b`` and ``.jpg``; a name that only begins with a dot has no ending."""
    stem, dot, ending = name.rpartition(".")
    if not dot or "/" in ending or not stem or stem.endswith("/"):
        return name, ""
    return stem, dot + ending


def safe_parts(image_id: str) -> list[str]:
    """Return the parts of an id that may be written as folders and a file."""
    return [_UNSAFE.sub("_", part) for part in image_id.split("/") if part not in ("", ".", "..")]
