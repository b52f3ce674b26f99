"""Open image files with Pillow's readers, ignoring Pillow's process-wide pixel limit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from autolabel.images.files import Source

_PREFIX = 16
"""Bytes that tell a format."""


def open_image(source: Source, formats: Sequence[str]) -> Pillow.Image:
    """Open a file of one of some formats, as ``PIL.Image.open`` does; decodes nothing.

    ``PIL.Image.open`` applies ``PIL.Image.MAX_IMAGE_PIXELS``, a global of the host process; here the caller checks our
    own limit. Raises UnidentifiedImageError if no format matches.
    """
    name = source if isinstance(source, str) else ""
    stream: Any = open(source, "rb") if isinstance(source, str) else source  # noqa: PTH123, SIM115
    try:
        image = _first_that_reads(stream, name, formats)
    except BaseException:
        if name:
            stream.close()
        raise
    vars(image)["_exclusive_fp"] = bool(name)  # so that closing the image closes the file
    return image


def _first_that_reads(stream: Any, name: str, formats: Sequence[str]) -> Pillow.Image:
    stream.seek(0)
    prefix = stream.read(_PREFIX)
    Pillow.preinit()
    for kind in formats:
        if kind not in Pillow.OPEN:
            Pillow.init()
        if kind not in Pillow.OPEN:
            continue  # Pillow was built without this format
        factory, accept = Pillow.OPEN[kind]
        if accept is not None and accept(prefix) is not True:
            continue
        stream.seek(0)
        try:
            image: Pillow.Image = factory(stream, name)
            return image
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    raise UnidentifiedImageError(f"cannot identify image file {name or stream!r}")
