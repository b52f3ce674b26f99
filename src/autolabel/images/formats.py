"""The supported image formats, by Pillow's names and by file extension."""

from __future__ import annotations

import os
import stat
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import features

_BY_FORMAT = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    **({"JPEG2000": (".jp2", ".j2k", ".jpf", ".jpx")} if features.check("jpg_2000") else {}),
}
_HEIF_SUFFIXES = (".heic", ".heif", ".hif")
HEIF = find_spec("pillow_heif") is not None
"""Whether the package that reads HEIC is installed; Pillow's own list of formats is left as it is."""
FORMATS = tuple(name for name in _BY_FORMAT if name != "MPO")
"""The formats that Pillow may open; MPO is opened as JPEG."""
SUFFIXES = frozenset(suffix for some in _BY_FORMAT.values() for suffix in some) | frozenset(
    _HEIF_SUFFIXES if HEIF else ()
)
"""Endings of files that are read, lower case."""
_RAW = {
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
    ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
}  # fmt: skip
"""Cameras' own formats."""
_OTHERS = {
    ".cur", ".dcm", ".dicom", ".emf", ".eps", ".exr", ".hdr", ".ico", ".icns", ".j2c", ".jls", ".jxl", ".jxr",
    ".jp2", ".j2k", ".jpf", ".jpx", ".nii", ".pbf", ".pcx", ".pfm", ".psb", ".psd", ".sgi", ".svg", ".svs", ".ndpi",
    ".tga", ".wmf", ".xbm", ".xcf", ".xpm",
}  # fmt: skip
"""Images that are not read."""
_SNIFFED = 16
"""Bytes of a file without ending that tell whether it is an image."""


def unread_reason(suffix: str) -> str:
    """Return why a file with this extension (lower case, with dot) is not read; empty if it is read.

    ``format``: an unsupported image format; ``extension``: not an image extension.
    """
    if suffix in SUFFIXES:
        return ""
    return "format" if suffix in _RAW or suffix in _OTHERS or suffix in _HEIF_SUFFIXES else "extension"


def advice(suffix: str) -> str:
    """Return a hint on how to make a file with this extension readable."""
    if suffix in _HEIF_SUFFIXES:
        return "pip install pillow-heif, or convert it to JPEG"
    return "develop it to JPEG or TIFF" if suffix in _RAW else "convert it to JPEG or PNG"


def suffix_of(name: str) -> str:
    """Return the extension of a file name, lower case, with dot; empty if there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _is_image(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a supported image."""
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    return head.startswith(starts) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] == b"ftypavif"


def is_image_file(path: str) -> bool:
    """Return whether a file is a supported image, by its first bytes; False if it is not a readable file."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return False
        with Path(path).open("rb") as stream:
            return _is_image(stream.read(_SNIFFED))
    except OSError:
        return False


def is_tiff(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a TIFF or BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_heif(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a HEIC or HEIF."""
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"heim", b"heis", b"hevc")


@cache
def heif_file() -> Any:
    """Return the class that reads HEIC files, without registering it with Pillow."""
    from pillow_heif import HeifImageFile

    return HeifImageFile
