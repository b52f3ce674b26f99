"""Copy or link the images of an export beside its labels."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image as Pillow

from autolabel.errors import DataError
from autolabel.images import leaves_root, page_name, read_pixels, split_page
from autolabel.storage import Remote, at
from autolabel.types import Image
from autolabel_exporters.file_names import safe_parts, split_ending

Way = Literal["link", "copy", "upright"]
"""``link``: a symbolic link; ``_copy``: the file's bytes; ``upright``: a copy whose EXIF orientation is applied."""
_ORIENTATION = 0x0112
_FORMATS = {".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
"""The format of an upright image, by its extension; JPEG for all others."""
_QUALITY = 95
_SHOWN = 3

_log = logging.getLogger(__name__)


class Placing:
    """Places images in a folder; missing images are left out and reported at the end."""

    def __init__(self, way: Way | None, folder: Path, *, root: str | None = None) -> None:
        """Place nothing if ``way`` is None; ``root`` is the image folder if the images have moved since labelling."""
        self.way, self.folder, self.root = way, folder, root
        self.missing: list[str] = []

    def put(self, image: Image, name: str) -> None:
        """Place an image under a relative path; raises DataError if it is not below ``root``."""
        if self.way is None:
            return
        place, page = split_page(image.path)
        source = at(place) if self.root is None else Path(self.root).joinpath(*_plain_parts(split_page(image.id)[0]))
        if not source.is_file() or leaves_root(image.path):
            if self.root is not None:
                raise DataError(
                    f"{source}: no such image", hint="set `images` to the folder that image names are relative to"
                )
            self.missing.append(image.id)
            return
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if page > 1 or (self.way == "upright" and _turned(source)):
            _write_upright(image, page_name(str(source), page), target)
        elif self.way == "link" and not isinstance(source, Remote):
            target.symlink_to(source.absolute())
        else:
            _copy(source, target)

    def done(self) -> Sequence[Path]:
        """Return the folder if images were placed, and warn about missing images."""
        if self.missing:
            some = ", ".join(self.missing[:_SHOWN]) + (", ..." if len(self.missing) > _SHOWN else "")
            _log.warning("%d image(s) no longer exist and were left out: %s", len(self.missing), some)
        return [self.folder] if self.folder.exists() else []


def _copy(source: Path | Remote, target: Path) -> None:
    """Copy a file's bytes."""
    with source.open("rb") as stream, target.open("wb") as file:
        shutil.copyfileobj(stream, file)


def _turned(source: Path | Remote) -> bool:
    """Return whether an image's stored orientation differs from its upright one."""
    try:
        with source.open("rb") as stream, Pillow.open(stream) as picture:
            return picture.getexif().get(_ORIENTATION, 1) not in (0, 1)
    except Exception:  # a damaged header can raise anything; such an image is placed unchanged
        return False


def _write_upright(image: Image, source: str, target: Path) -> None:
    """Write an image's upright pixels, in the format of its file extension."""
    height, width = image.size
    pixels = read_pixels(source, max_pixels=max(1, height * width))
    kind = _FORMATS.get(split_ending(target.name)[1].lower(), "JPEG")
    Pillow.fromarray(pixels).save(target, kind, quality=_QUALITY, subsampling=0)


def _plain_parts(image_id: str) -> list[str]:
    """Return the parts of an id without empty parts, ``.`` and ``..``."""
    return [part for part in image_id.split("/") if part not in ("", ".", "..")]


def own_name(image: Image) -> str:
    """Return an image's id as a path that stays inside a folder; a page of a multi-page file becomes a PNG."""
    name = "/".join(safe_parts(image.id)) or "_"
    return f"{name}.png" if split_page(image.path)[1] > 1 else name


def beside(label_file: str, image: Image) -> str:
    """Return the image name that pairs with a label file: the same stem, the image's ending."""
    own = split_ending("/".join(safe_parts(image.id)))[1] or ".jpg"
    ending = ".png" if split_page(image.path)[1] > 1 else own
    return split_ending(label_file)[0] + ending
